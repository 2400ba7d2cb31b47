"""The function analytics-query."""

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import (
    Limits,
    Query,
    Row,
    chart,
    number,
    or_zero,
    quantiles,
    rate,
    rate_of,
)
from infra.monitoring.dashboards.processes import process_row

P = "universe_analytics_query_"
REQUESTS = P + "requests_total"
ASKED = 'route!~"/metrics|/health/.+"'
FAILED = f'{ASKED}, status=~"5.."'

DASHBOARD = Dashboard(
    uid="universe-analytics-query",
    title="Universe · Analytics query",
    description="Reports out: requests, query times, connections.",
    rows=[
        Row(
            "Now",
            [
                number(
                    "Requests",
                    "Requests but those of Prometheus and of health checks.",
                    or_zero(rate(REQUESTS, "", matchers=ASKED)).expr,
                    unit="reqps",
                    width=6,
                ),
                number(
                    "Failed",
                    "Share of the requests answered with 5xx.",
                    f"({rate_of(REQUESTS, matchers=FAILED)} or vector(0)) / "
                    f"({rate_of(REQUESTS, matchers=ASKED)} > 0) or vector(0)",
                    unit="percentunit",
                    decimals=2,
                    limits=Limits(0.001, 0.01),
                    width=6,
                ),
                number(
                    "Time of a report, p95",
                    "95 of 100 reports are computed faster, their queries included.",
                    quantiles(P + "report_seconds")[1].expr,
                    unit="s",
                    limits=Limits(0.5, 2),
                    width=6,
                ),
                number(
                    "Remembered",
                    "Share of the reports answered without computing them again: nothing was "
                    "stored since.",
                    f"({rate_of(P + 'remembered_total')} or vector(0)) / "
                    f"(({rate_of(P + 'remembered_total')} or vector(0)) + "
                    f"{rate_of(P + 'report_seconds_count')} > 0) or vector(0)",
                    unit="percentunit",
                    width=6,
                ),
            ],
        ),
        Row(
            "Requests",
            [
                chart(
                    "Requests by route",
                    "What is asked for.",
                    rate(REQUESTS, "{{route}}", by="route", matchers=ASKED),
                    unit="reqps",
                    stacked=True,
                ),
                chart(
                    "Requests by status",
                    "304: the asker has the answer already; 4xx: a wrong question; 503: the "
                    "database is away, or the report took too long.",
                    rate(REQUESTS, "{{status}}", by="status", matchers=ASKED),
                    unit="reqps",
                    stacked=True,
                ),
                chart(
                    "Latency",
                    "From a request's arrival to its answer; an export's rows come after that.",
                    *quantiles(P + "request_seconds"),
                    unit="s",
                ),
            ],
        ),
        Row(
            "Reports",
            [
                chart(
                    "Query time by report, 95th percentile",
                    "Computing a report, its queries included.",
                    Query(
                        "histogram_quantile(0.95, sum by (le, report) (rate("
                        f"{P}report_seconds_bucket[$__rate_interval])))",
                        "{{report}}",
                    ),
                    unit="s",
                    width=12,
                ),
                chart(
                    "Computed reports",
                    "Reports that were not remembered.",
                    rate(P + "report_seconds_count", "{{report}}", by="report"),
                    unit="ops",
                    width=12,
                    stacked=True,
                ),
                chart(
                    "Query time",
                    "All reports together.",
                    *quantiles(P + "report_seconds"),
                    unit="s",
                ),
                chart(
                    "Remembered reports",
                    "Answered without computing them again.",
                    or_zero(rate(P + "remembered_total", "{{report}}", by="report"), report="none"),
                    unit="ops",
                    stacked=True,
                ),
                chart(
                    "Connection pool",
                    "Connections that are open and idle, and requests that wait for one.",
                    Query(f"sum by (state) ({P}pool_connections)", "{{state}}"),
                ),
            ],
        ),
        process_row("analytics-query"),
    ],
)
