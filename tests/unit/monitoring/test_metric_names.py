"""Dashboards, alert rules and their page name only metrics and labels that the code registers."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from functions.common.paths import ROOT
from infra.monitoring.dashboards.__main__ import DASHBOARDS
from tests.support.registered_metrics import registered_metrics

MONITORING = ROOT / "infra/monitoring"
OURS = re.compile(r"\b(?:universe|gateway)_[a-z_]+\b")
ROLES = {"universe_reader", "universe_writer", "universe_owner"}
FOREIGN = {
    "ALERTS",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "up",
}
"""Metrics of Prometheus and of its client library."""
FOREIGN_LABELS = {
    "alertname",
    "alertstate",
    "function",
    "instance",
    "job",
    "le",
    "replica",
}
"""Labels of Prometheus, of its alerts and of its targets; `function` is also `function_name`."""
METRICS = registered_metrics()
SERIES = {name for metric in METRICS for name in metric.names}
LABELS = {label for metric in METRICS for label in metric.labels} | FOREIGN_LABELS
STRING = re.compile(r'"[^"]*"')
WORD = re.compile(r"(?<![\w$.])[A-Za-z_]\w*")
GROUPING = re.compile(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"\{([^}]*)\}")
DURATION = re.compile(r"\[[^\]]*\]|\boffset \w+")


def metrics_in(expression: str) -> set[str]:
    """Return the names of metrics in PromQL: words that are no function, operator or label."""
    text = GROUPING.sub("", SELECTOR.sub("", DURATION.sub("", STRING.sub("", expression))))
    called = {match[1] for match in re.finditer(r"(\w+)\s*\(", text)}
    return set(WORD.findall(text)) - called - {"and", "or", "unless", "by", "on", "inf"}


def labels_in(expression: str) -> set[str]:
    """Return the labels in PromQL: of selectors and of groupings."""
    plain = STRING.sub("", expression)
    selected = {
        match[1]
        for selector in SELECTOR.findall(plain)
        for match in re.finditer(r"(\w+)\s*[=!]", selector)
    }
    return selected | {label for group in GROUPING.findall(plain) for label in WORD.findall(group)}


def dashboards() -> Iterator[tuple[str, str, str]]:
    """Yield the place, the expression and the legend of each query."""
    for dashboard in DASHBOARDS:
        built: Any = dashboard.build()
        for panel in built.panels:
            for target in getattr(panel, "targets", None) or []:
                yield f"{dashboard.file_name}: {panel.title}", target.expr, target.legend_format


def rules() -> Iterator[dict[str, Any]]:
    """Yield the alert rules."""
    for group in yaml.safe_load((MONITORING / "prometheus/alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def test_parts_of_expressions_are_found() -> None:
    expression = (
        'sum by (le, phase) (rate(a_total{x=~"b|c", y!="d"}[$__rate_interval]))'
        " / (e offset 10m > 1e6)"
        ' or on () label_replace(vector(0), "source", "none", "", "") unless on (function) f'
    )
    assert metrics_in(expression) == {"a_total", "e", "f"}
    assert labels_in(expression) == {"le", "phase", "x", "y", "function"}


def test_dashboards_query_metrics_that_exist() -> None:
    queries = list(dashboards())
    assert len(queries) > 150
    for place, expression, _ in queries:
        assert metrics_in(expression) <= SERIES | FOREIGN, place


def test_dashboards_use_labels_that_exist() -> None:
    for place, expression, legend in dashboards():
        assert labels_in(expression) <= LABELS, place
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= LABELS, place


def test_alerts_query_metrics_and_labels_that_exist() -> None:
    for rule in rules():
        assert metrics_in(rule["expr"]) <= SERIES | FOREIGN, rule["alert"]
        assert labels_in(rule["expr"]) <= LABELS, rule["alert"]
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert named <= LABELS, rule["alert"]


@pytest.mark.parametrize("name", ["README.md", "prometheus/alerts.test.yml"])
def test_metrics_in_texts_exist(name: str) -> None:
    named = set(OURS.findall((MONITORING / name).read_text())) - ROLES
    assert named
    # `universe_gateway_*` stands for several, a histogram's name for its series
    whole = SERIES | {each.removesuffix("_bucket") for each in SERIES}
    prefixes = {each for each in named if each.endswith("_")}
    assert named - prefixes <= whole
    assert all(any(each.startswith(prefix) for each in SERIES) for prefix in prefixes)
