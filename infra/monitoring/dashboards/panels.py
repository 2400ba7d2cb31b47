"""The parts of a dashboard, as short as their meaning."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.monitoring.dashboards.colours import GREEN, ORANGE, RED

Unit = Literal[
    "short",
    "percentunit",
    "s",
    "bytes",
    "Bps",
    "reqps",
    "eps",
    "mps",
    "ops",
    "none",
]
"""Grafana's names of units; eps, mps, reqps, ops: events, messages, requests, operations per
second."""

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series, which may name labels: `{{source}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Limits:
    """Where a value becomes a worry.

    Attributes:
        warning: orange from here.
        critical: red from here.
        below: it is the low values that are bad: red under `critical`, orange under `warning`.
    """

    warning: float
    critical: float
    below: bool = False

    def steps(self) -> list[dict[str, Any]]:
        """Return Grafana's threshold steps."""
        if self.below:
            pairs = [(None, RED), (self.critical, ORANGE), (self.warning, GREEN)]
        else:
            pairs = [(None, GREEN), (self.warning, ORANGE), (self.critical, RED)]
        return [{"color": colour, "value": value} for value, colour in pairs]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows, with no unit.
        description: how to read it, shown when one points at it.
        queries: what is drawn.
        kind: a line chart, one number, bars or a timeline of states.
        unit: of all its values.
        limits: where values become a worry; a chart draws a line there.
        width: of 24.
        height: in rows of Grafana's grid.
        stacked: whether the lines add up.
        decimals: shown of a number, None to let Grafana choose.
        names: text in place of values.
        least: lowest end of the axis.
        most: highest end of the axis.
        colours: fixed colours by legend.
    """

    title: str
    description: str
    queries: Sequence[Query]
    kind: Literal["timeseries", "stat", "bargauge", "state-timeline"] = "timeseries"
    unit: Unit = "short"
    limits: Limits | None = None
    width: int = 8
    height: int = 8
    stacked: bool = False
    decimals: int | None = None
    names: dict[int, tuple[str, str]] = field(default_factory=dict)
    least: float | None = 0
    most: float | None = None
    colours: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


def chart(title: str, description: str, *queries: Query, **options: Any) -> Panel:
    """Return a line chart over time."""
    return Panel(title, description, queries, **options)


def number(title: str, description: str, expr: str, **options: Any) -> Panel:
    """Return one number with its recent course."""
    options = {"width": 4, "height": 4, **options}
    return Panel(title, description, [Query(expr)], kind="stat", **options)


def bars(title: str, description: str, query: Query, **options: Any) -> Panel:
    """Return a bar for each series, as they are now."""
    return Panel(title, description, [query], kind="bargauge", **options)


def states(title: str, description: str, *queries: Query, **options: Any) -> Panel:
    """Return a band of states over time for each series."""
    return Panel(title, description, queries, kind="state-timeline", **options)


def quantiles(metric: str, matchers: str = "", by: str = "") -> list[Query]:
    """Return the median, 95th and 99th percentile of a histogram.

    Args:
        metric: its name without `_bucket`.
        matchers: conditions on labels, such as `phase="copy"`.
        by: labels to tell apart, in the legend too.
    """
    selector = f"{metric}_bucket{{{matchers}}}" if matchers else f"{metric}_bucket"
    labels = f"le, {by}" if by else "le"
    prefix = "".join(f"{{{{{label.strip()}}}}} " for label in by.split(",")) if by else ""
    return [
        Query(
            f"histogram_quantile({quantile}, "
            f"sum by ({labels}) (rate({selector}[$__rate_interval])))",
            f"{prefix}p{round(quantile * 100)}",
        )
        for quantile in (0.5, 0.95, 0.99)
    ]


def average(metric: str, legend: str, matchers: str = "", by: str = "") -> Query:
    """Return the average of a histogram's or summary's observations."""
    selector = f"{{{matchers}}}" if matchers else ""
    grouped = f" by ({by})" if by else ""
    total = f"sum{grouped} (rate({metric}_sum{selector}[$__rate_interval]))"
    count = f"sum{grouped} (rate({metric}_count{selector}[$__rate_interval]))"
    return Query(f"{total} / {count}", legend)


def rate(metric: str, legend: str, by: str = "", matchers: str = "") -> Query:
    """Return how much a counter grows in a second."""
    return Query(rate_of(metric, by, matchers), legend)


def rate_of(metric: str, by: str = "", matchers: str = "") -> str:
    """Return the expression for how much a counter grows in a second."""
    selector = f"{{{matchers}}}" if matchers else ""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{selector}[$__rate_interval]))"


def or_zero(query: Query, **labels: str) -> Query:
    """Return a query that is zero where there is no series.

    For what counts faults: a counter with labels has no series before the first fault, and "no
    data" reads as if monitoring were broken.

    Args:
        query: what to ask.
        labels: of the zero, for the legend.
    """
    zero = "vector(0)"
    for label, value in labels.items():
        zero = f'label_replace({zero}, "{label}", "{value}", "", "")'
    return Query(f"{query.expr} or on () {zero}", query.legend)


def as_json(panel: Panel, identity: int, x: int, y: int) -> dict[str, Any]:
    """Return a panel as Grafana stores it, at a place of the grid."""
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "mappings": _mappings(panel),
        "thresholds": {
            "mode": "absolute",
            "steps": panel.limits.steps()
            if panel.limits
            else [{"color": GREEN if panel.kind == "stat" else "text", "value": None}],
        },
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "custom": _custom(panel),
    }
    if panel.kind in ("timeseries", "bargauge"):
        defaults |= {
            key: value
            for key, value in (("min", panel.least), ("max", panel.most))
            if value is not None
        }
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    return {
        "id": identity,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel)},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": panel.kind != "bargauge",
                "instant": panel.kind == "bargauge",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.names:
        return []
    options = {
        str(value): {"text": text, "color": colour, "index": place}
        for place, (value, (text, colour)) in enumerate(panel.names.items())
    }
    return [{"type": "value", "options": options}]


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind == "state-timeline":
        return {"fillOpacity": 70, "lineWidth": 0}
    if panel.kind != "timeseries":
        return {}
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.limits else "off"},
        "axisSoftMin": 0,
    }


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "matcher": {"id": "byName", "options": legend},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for legend, colour in panel.colours.items()
    ]


def _options(panel: Panel) -> dict[str, Any]:
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "stat":
            return {
                "reduceOptions": last,
                "colorMode": "background" if panel.names else "value",
                "graphMode": "none" if panel.names else "area",
                "justifyMode": "auto",
                "textMode": "auto",
            }
        case "bargauge":
            return {"reduceOptions": last, "orientation": "horizontal", "displayMode": "basic"}
        case "state-timeline":
            return {
                "mergeValues": True,
                "showValue": "auto",
                "rowHeight": 0.8,
                "legend": {
                    "displayMode": "list",
                    "placement": "bottom",
                    "showLegend": False,
                    "calcs": [],
                },
            }
        case _:
            return {
                "legend": {
                    "displayMode": "table" if panel.width >= 12 else "list",
                    "placement": "bottom",
                    "showLegend": True,
                    "calcs": ["mean", "max"] if panel.width >= 12 else [],
                },
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
