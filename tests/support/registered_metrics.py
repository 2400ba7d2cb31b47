"""The metrics that the code registers, read from its source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from functions.common.paths import ROOT

SUFFIXES = {
    "Counter": ("_total",),
    "CounterMetricFamily": ("_total",),
    "Gauge": ("",),
    "GaugeMetricFamily": ("",),
    "gauge": ("",),
    "Metric": ("",),
    "Histogram": ("_bucket", "_count", "_sum"),
    "HistogramMetricFamily": ("_bucket", "_count", "_sum"),
    "MetricSpec": ("",),
}
"""What a constructor appends to the name of its metric, for each of its time series."""


@dataclass(frozen=True)
class RegisteredMetric:
    """A metric of the code.

    Attributes:
        names: of its time series.
        labels: of its time series.
        place: where it is registered.
    """

    names: frozenset[str]
    labels: frozenset[str]
    place: str


def registered_metrics() -> list[RegisteredMetric]:
    """Return the metrics of the functions, the connector, the local gateway and the exporter."""
    files = [file for folder in ("functions", "infra") for file in (ROOT / folder).rglob("*.py")]
    return [metric for file in files for metric in _metrics_of(file)]


def _metrics_of(file: Path) -> Iterator[RegisteredMetric]:
    source = file.read_text()
    if not any(library in source for library in ("prometheus_client", "MetricSpec")):
        return
    tree = ast.parse(source)
    values: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                values[target.id] = _evaluate(node.value, values)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = node.func.id
        if kind == "MetricGroup":
            # the labels of the metrics in the group
            labels = _evaluate(node.args[0], values)
            assert isinstance(labels, dict), _place(file, node)
            yield RegisteredMetric(frozenset(), frozenset(labels.values()), _place(file, node))
        elif kind in SUFFIXES and node.args:
            name = _evaluate(node.args[1 if kind == "MetricSpec" else 0], values)
            if isinstance(name, str):
                yield RegisteredMetric(
                    frozenset(
                        name.removesuffix(suffix) + suffix if suffix else name
                        for suffix in SUFFIXES[kind]
                    ),
                    _labels(node, kind, values, file),
                    _place(file, node),
                )
            else:
                # a name made of pieces could be found neither by this nor by a reader
                assert not isinstance(node.args[0], ast.BinOp | ast.JoinedStr), _place(file, node)


def _labels(call: ast.Call, kind: str, values: dict[str, object], file: Path) -> frozenset[str]:
    given = [keyword.value for keyword in call.keywords if keyword.arg in {"labels", "labelnames"}]
    if kind in {"Counter", "Gauge", "Histogram"}:
        given += call.args[2:3]
    if not given:
        return frozenset()
    labels = _evaluate(given[0], values)
    assert isinstance(labels, list), _place(file, call)
    return frozenset(labels)


def _evaluate(node: ast.expr, values: dict[str, object]) -> object:
    """Return the value of a constant expression; None where it is none."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return values.get(name)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            start, end = _evaluate(left, values), _evaluate(right, values)
            return start + end if isinstance(start, str) and isinstance(end, str) else None
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            found: list[object] = []
            for part in parts:
                if isinstance(part, ast.Starred):
                    inner = _evaluate(part.value, values)
                    found += inner if isinstance(inner, list) else [None]
                else:
                    found.append(_evaluate(part, values))
            return found
        case ast.Dict(keys=keys, values=labels):
            pairs = zip(keys, labels, strict=True)
            return {_evaluate(key, values): _evaluate(value, values) for key, value in pairs if key}
        case _:
            return None


def _place(file: Path, node: ast.expr) -> str:
    return f"{file.relative_to(ROOT)}:{node.lineno}"
