"""The row about its replicas that every function's dashboard has."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.panels import TimeSeries, query
from infra.monitoring.dashboards.promql import rate


def replicas_row(function: str) -> tuple[str, TimeSeries, TimeSeries, TimeSeries]:
    """Return the title and the panels of the row about a function's replicas."""
    selector = f'job="function", function="{function}"'
    cpu = rate("process_cpu_seconds_total", by="replica", matchers=selector)
    return (
        "Replicas",
        TimeSeries(
            "Replicas",
            "Running replicas, and the desired count at the gateway.",
            query(f"sum(up{{{selector}}}) or vector(0)", "running"),
            query(f'max(gateway_service_count{{function="{function}"}})', "desired"),
        ),
        TimeSeries("CPU", "CPU cores in use by each replica.", query(cpu, "{{replica}}")).unit(
            units.NoUnit
        ),
        TimeSeries(
            "Memory",
            "Resident memory of each replica.",
            query(f"sum by (replica) (process_resident_memory_bytes{{{selector}}})", "{{replica}}"),
        ).unit(units.BytesIEC),
    )
