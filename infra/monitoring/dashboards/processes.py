"""What every function's dashboard shows of its processes."""

from infra.monitoring.dashboards.panels import Query, Row, chart


def process_row(function: str) -> Row:
    """Return the row about a function's replicas."""
    return Row(
        "Replicas",
        [
            chart(
                "Replicas",
                "Replicas that run, and that the gateway wants.",
                Query(f'sum(up{{job="function", function="{function}"}}) or vector(0)', "running"),
                Query(f'max(gateway_service_count{{function="{function}"}})', "wanted"),
            ),
            chart(
                "CPU",
                "Processor cores in use by each replica.",
                Query(
                    "sum by (replica) (rate(process_cpu_seconds_total"
                    f'{{job="function", function="{function}"}}[$__rate_interval]))',
                    "{{replica}}",
                ),
                unit="none",
            ),
            chart(
                "Memory",
                "Resident memory of each replica.",
                Query(
                    "sum by (replica) (process_resident_memory_bytes"
                    f'{{job="function", function="{function}"}})',
                    "{{replica}}",
                ),
                unit="bytes",
            ),
        ],
    )
