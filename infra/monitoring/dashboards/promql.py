"""PromQL expressions that several dashboards write."""

from grafana_foundation_sdk.builders.prometheus import Dataquery

from infra.monitoring.dashboards.panels import query

OWN_ROUTES = 'route!~"/metrics|/health/.+"'
"""Matches the requests of a function's own work, not those of probes and Prometheus."""


def rate(metric: str, by: str = "", matchers: str = "") -> str:
    """Return how much a counter grows in a second.

    Args:
        metric: its name.
        by: labels to keep, separated by commas.
        matchers: conditions on labels, such as `phase="copy"`.
    """
    selector = f"{{{matchers}}}" if matchers else ""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{selector}[$__rate_interval]))"


def average(metric: str, matchers: str = "") -> str:
    """Return the average of a histogram's or summary's observations."""
    return (
        f"{rate(f'{metric}_sum', matchers=matchers)} / {rate(f'{metric}_count', matchers=matchers)}"
    )


def quantile(level: float, metric: str, by: str = "", matchers: str = "") -> str:
    """Return a quantile of a histogram.

    Args:
        level: between 0 and 1.
        metric: its name without `_bucket`.
        by: labels to keep, separated by commas.
        matchers: conditions on labels.
    """
    buckets = rate(f"{metric}_bucket", f"le, {by}" if by else "le", matchers)
    return f"histogram_quantile({level}, {buckets})"


def quantiles(metric: str, matchers: str = "") -> list[Dataquery]:
    """Return queries for the median, 95th and 99th percentile of a histogram."""
    return [
        query(quantile(level, metric, matchers=matchers), f"p{round(level * 100)}")
        for level in (0.5, 0.95, 0.99)
    ]


def or_zero(expr: str, **labels: str) -> str:
    """Return an expression that is zero where there is no series.

    For what counts faults: a counter with labels has no series before the first fault, and "no
    data" reads as if monitoring were broken.

    Args:
        expr: PromQL.
        labels: of the zero, for the legend.
    """
    zero = "vector(0)"
    for label, value in labels.items():
        zero = f'label_replace({zero}, "{label}", "{value}", "", "")'
    return f"{expr} or on () {zero}"
