"""The function analytics-query."""

from grafana_foundation_sdk.models import units

from infra.monitoring.dashboards.dashboard import Dashboard
from infra.monitoring.dashboards.panels import Stat, TimeSeries, limits, query
from infra.monitoring.dashboards.promql import OWN_ROUTES, or_zero, quantile, quantiles, rate
from infra.monitoring.dashboards.replicas import replicas_row

REQUESTS = "universe_analytics_query_requests_total"
FAILED = f'{OWN_ROUTES}, status=~"5.."'

DASHBOARD = (
    Dashboard(
        uid="universe-analytics-query",
        title="Universe · Analytics query",
        description="Reports out: requests, query times, connections.",
    )
    .row(
        "Now",
        Stat(
            "Requests",
            "Requests, except for scrapes and health checks.",
            or_zero(rate(REQUESTS, matchers=OWN_ROUTES)),
        )
        .unit(units.RequestsPerSecond)
        .span(6),
        Stat(
            "Failed",
            "Share of the requests with a 5xx response.",
            f"({rate(REQUESTS, matchers=FAILED)} or vector(0)) / "
            f"({rate(REQUESTS, matchers=OWN_ROUTES)} > 0) or vector(0)",
        )
        .unit(units.PercentUnit)
        .decimals(2)
        .thresholds(limits(0.001, 0.01))
        .span(6),
        Stat(
            "Time of a report, p95",
            "95 % of the reports are computed faster, including their queries.",
            quantile(0.95, "universe_analytics_query_report_seconds"),
        )
        .unit(units.Seconds)
        .thresholds(limits(0.5, 2))
        .span(6),
        Stat(
            "Cache hits",
            "Share of the reports that were returned from the cache: nothing was stored since.",
            f"({rate('universe_analytics_query_report_cache_hits_total')} or vector(0)) / "
            f"(({rate('universe_analytics_query_report_cache_hits_total')} or vector(0)) + "
            f"{rate('universe_analytics_query_report_seconds_count')} > 0) or vector(0)",
        )
        .unit(units.PercentUnit)
        .span(6),
    )
    .row(
        "Requests",
        TimeSeries(
            "Requests by route",
            "Requests, except for scrapes and health checks.",
            query(rate(REQUESTS, by="route", matchers=OWN_ROUTES), "{{route}}"),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Requests by status",
            "304: the client has the response already; 4xx: client error; 503: the database is "
            "unavailable, or the report took too long.",
            query(rate(REQUESTS, by="status", matchers=OWN_ROUTES), "{{status}}"),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Requests without a valid key",
            "By route. missing: no key was sent; wrong: it is not one of those in the secret file.",
            query(
                or_zero(
                    rate("universe_analytics_query_credentials_refused_total", by="route, fault"),
                    route="none",
                ),
                "{{route}} {{fault}}",
            ),
        )
        .unit(units.RequestsPerSecond)
        .stacked(),
        TimeSeries(
            "Latency",
            "From a request's arrival to its response headers; an export's rows follow.",
            *quantiles("universe_analytics_query_request_seconds"),
        ).unit(units.Seconds),
    )
    .row(
        "Reports",
        TimeSeries(
            "Query time by report, 95th percentile",
            "Time to compute a report, including its queries.",
            query(
                quantile(0.95, "universe_analytics_query_report_seconds", by="report"),
                "{{report}}",
            ),
        )
        .unit(units.Seconds)
        .wide(),
        TimeSeries(
            "Computed reports",
            "Reports that were not in the cache.",
            query(rate("universe_analytics_query_report_seconds_count", by="report"), "{{report}}"),
        )
        .unit(units.OpsPerSecond)
        .stacked()
        .wide(),
        TimeSeries(
            "Query time",
            "All reports together.",
            *quantiles("universe_analytics_query_report_seconds"),
        ).unit(units.Seconds),
        TimeSeries(
            "Reports from the cache",
            "Returned without computing them again.",
            query(
                or_zero(
                    rate("universe_analytics_query_report_cache_hits_total", by="report"),
                    report="none",
                ),
                "{{report}}",
            ),
        )
        .unit(units.OpsPerSecond)
        .stacked(),
        TimeSeries(
            "Connection pool",
            "Open and idle connections, and requests that wait for one.",
            query("sum by (state) (universe_analytics_query_pool_connections)", "{{state}}"),
        ),
    )
    .row(
        "Alerts and summaries of figures",
        TimeSeries(
            "Attempts to send",
            "Messages by channel. failed: tried again; lost: given up.",
            query(
                "sum by (channel, outcome) "
                "(increase(universe_analytics_alert_attempts_total[$__rate_interval]))",
                "{{channel}} {{outcome}}",
            ),
        ),
        TimeSeries(
            "Messages that wait",
            "Messages that are not sent yet, and alerts that could not be judged: the page and "
            "`lastError` in the API say why.",
            query("max(universe_analytics_alert_waiting_messages)", "messages"),
            query("max(universe_analytics_alerts_failing)", "alerts not judged"),
        ),
        TimeSeries(
            "Delay",
            "Age of the oldest message that waits; how long ago an alert was to be judged, which "
            "grows where the job does not run.",
            query("max(universe_analytics_alert_oldest_message_seconds)", "oldest message"),
            query("max(universe_analytics_alerts_overdue_seconds)", "overdue"),
        )
        .unit(units.Seconds)
        .thresholds(limits(600, 900)),
    )
    .row(*replicas_row("analytics-query"))
)
