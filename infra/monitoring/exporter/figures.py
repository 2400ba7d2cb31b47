"""Figures: how a value becomes a Prometheus metric."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric


class Kind(Enum):
    """What a value does over time."""

    GAUGE = "gauge"
    COUNTER = "counter"


@dataclass(frozen=True)
class Figure:
    """One metric.

    Attributes:
        column: the key of its value in a row.
        name: the metric's name; a counter's ends in `_total`.
        help: what it is.
        kind: gauge or counter.
    """

    column: str
    name: str
    help: str
    kind: Kind = Kind.GAUGE


@dataclass(frozen=True)
class Table:
    """Rows of one kind: the columns that are labels, and those that are figures."""

    labels: Mapping[str, str]
    """Label by column."""
    figures: Sequence[Figure]


def gauge(name: str, help_text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, help_text, value=value)


def metrics_of(table: Table, rows: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """Return each figure of the table with one sample for each row that has a value for it."""
    rows = list(rows)
    return [_metric(figure, table.labels, rows) for figure in table.figures]


def _metric(figure: Figure, labels: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Metric:
    family = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
    metric = family(figure.name, figure.help, labels=list(labels.values()))
    for row in rows:
        value = row[figure.column]
        if value is not None:
            metric.add_metric([str(row[column]) for column in labels], float(value))
    return metric
