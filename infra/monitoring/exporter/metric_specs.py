"""How the columns of rows become Prometheus metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True)
class MetricSpec:
    """One metric: a counter if its name ends in `_total`, as Prometheus wants it, else a gauge.

    Attributes:
        column: the key of its value in a row.
        name: the metric's name.
        help: the text of its HELP line.
    """

    column: str
    name: str
    help: str


@dataclass(frozen=True)
class MetricGroup:
    """Metrics whose values are columns of the same rows.

    Attributes:
        labels: the label that each further column becomes, by column.
        specs: the metrics.
    """

    labels: Mapping[str, str]
    specs: Sequence[MetricSpec]


def gauge(name: str, help_text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, help_text, value=value)


def metrics_from_rows(group: MetricGroup, rows: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """Return each metric of the group, with one sample for each row whose value is not None."""
    rows = list(rows)
    return [_metric(spec, group.labels, rows) for spec in group.specs]


def _metric(
    spec: MetricSpec, labels: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> Metric:
    family = CounterMetricFamily if spec.name.endswith("_total") else GaugeMetricFamily
    metric = family(spec.name, spec.help, labels=list(labels.values()))
    for row in rows:
        value = row[spec.column]
        if value is not None:
            metric.add_metric([str(row[column]) for column in labels], float(value))
    return metric
