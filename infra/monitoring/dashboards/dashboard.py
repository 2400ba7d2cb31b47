"""A dashboard of rows of panels, as Grafana stores it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.monitoring.dashboards.panels import Row, as_json

COLUMNS = 24
ROW_HEIGHT = 1
SCHEMA_VERSION = 39
"""Grafana 11 and newer read it as it is."""


@dataclass(frozen=True)
class Dashboard:
    """A dashboard.

    Attributes:
        uid: its address in Grafana and the name of its file.
        title: as Grafana lists it.
        description: what it is for.
        rows: what it shows.
        by_function: whether one chooses functions on it.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    by_function: bool = False


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """Return the dashboard in Grafana's format."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["universe"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "links": [
            {
                "type": "dashboards",
                "title": "Universe",
                "tooltip": "The platform's other dashboards",
                "url": "",
                "tags": ["universe"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "icon": "external link",
                "targetBlank": False,
            }
        ],
        "annotations": {"list": [_ALERTS]},
        "templating": {"list": _variables(dashboard)},
        "panels": _panels(dashboard.rows),
    }


_ALERTS = {
    "name": "Alerts",
    "datasource": {"type": "prometheus", "uid": "${datasource}"},
    "enable": True,
    "hide": False,
    "iconColor": "red",
    "expr": 'ALERTS{alertname=~"Universe.+", alertstate="firing"}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}} {{function}}{{stream}}{{table}}",
    "step": "30s",
}


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    datasource = {
        "name": "datasource",
        "type": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes the platform",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
        "regex": "",
        "multi": False,
        "includeAll": False,
        "options": [],
    }
    function = {
        "name": "function",
        "type": "query",
        "label": "Function",
        "description": "The functions that are shown",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {
            "query": "label_values(gateway_service_count, function)",
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        "definition": "label_values(gateway_service_count, function)",
        "hide": 0,
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }
    return [datasource, function] if dashboard.by_function else [datasource]


def _panels(rows: Sequence[Row]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": ROW_HEIGHT},
                "panels": [],
            }
        )
        y += ROW_HEIGHT
        x = height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append(as_json(panel, len(panels) + 1, x, y))
            x += panel.width
            height = max(height, panel.height)
        y += height
    return panels
