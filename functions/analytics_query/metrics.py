"""Metrics of analytics-query."""

from prometheus_client import Counter, Gauge, Histogram

from functions.common.http.front_door import BUCKETS

REQUESTS = Counter(
    "universe_analytics_query_requests_total",
    "Requests by route and HTTP status",
    ["route", "status"],
)
REQUEST_SECONDS = Histogram(
    "universe_analytics_query_request_seconds",
    "Time from a request's arrival to its response; a streamed body comes after that",
    buckets=BUCKETS,
)
CREDENTIALS_REFUSED = Counter(
    "universe_analytics_query_credentials_refused_total",
    "Requests without a valid API key: missing or wrong",
    ["route", "fault"],
)
REPORT_SECONDS = Histogram(
    "universe_analytics_query_report_seconds",
    "Time to compute a report, including its queries",
    ["report"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CACHE_HITS = Counter(
    "universe_analytics_query_report_cache_hits_total",
    "Reports returned from the cache",
    ["report"],
)
EXPORTED = Counter("universe_analytics_query_exported_events_total", "Events sent in exports")
POOL = Gauge(
    "universe_analytics_query_pool_connections",
    "Database connections of this process: open, idle, waiting (requests without one)",
    ["state"],
)
