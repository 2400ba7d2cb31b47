"""Metrics of process-batch."""

from prometheus_client import Counter, Gauge, Histogram

from functions.common.http.front_door import BUCKETS

REQUESTS = Counter(
    "universe_process_batch_requests_total",
    "Requests by route and HTTP status",
    ["route", "status"],
)
REQUEST_SECONDS = Histogram(
    "universe_process_batch_request_seconds",
    "Time from a request's arrival to its response; a streamed body comes after that",
    buckets=BUCKETS,
)
OVER_LIMIT = Counter(
    "universe_process_batch_requests_over_limit_total",
    "Requests that break a bound: body_too_large, too_many_values, too_many_events, long_ids; "
    "the connector sends their halves",
    ["reason"],
)
DEAD_BY_REASON = Counter(
    "universe_process_batch_dead_events_total",
    "Events that cannot be stored, by why: contract, not_json, too_old, too_large, not_storable, "
    "database",
    ["reason"],
)
_events = Counter(
    "universe_process_batch_events_total",
    "Events by what became of them; received = inserted + duplicate + dead + waiting, "
    "besides batches that failed as a whole; waiting: they are delivered again later",
    ["outcome"],
)
RECEIVED = _events.labels("received")
INSERTED = _events.labels("inserted")
DUPLICATE = _events.labels("duplicate")
DEAD = _events.labels("dead")
WAITING = _events.labels("waiting")
BATCH_EVENTS = Histogram(
    "universe_process_batch_batch_events",
    "Events in a request",
    buckets=(1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10000),
)
_phase_seconds = Histogram(
    "universe_process_batch_phase_seconds",
    "Time of one phase of a batch: validate, copy, rollup, commit, isolate",
    ["phase"],
    buckets=BUCKETS,
)
CREDENTIALS_REFUSED = Counter(
    "universe_process_batch_credentials_refused_total",
    "Requests without a valid signature: missing, malformed, expired or wrong",
    ["route", "fault"],
)
UNAVAILABLE = Counter(
    "universe_process_batch_unavailable_total", "Batches answered with 503, by SQLSTATE", ["state"]
)
COMPACTIONS = Counter("universe_process_batch_compactions_total", "Compactions of rollup deltas")
COMPACTED = Counter("universe_process_batch_compacted_deltas_total", "Rollup deltas compacted")
COMPACTION_SECONDS = Histogram(
    "universe_process_batch_compaction_seconds", "Time of one compaction", buckets=BUCKETS
)
POOL = Gauge(
    "universe_process_batch_pool_connections",
    "Database connections of this process: open, idle, waiting (requests without one)",
    ["state"],
)


def observe(phase: str, seconds: float) -> None:
    """Record how long one phase of a batch took."""
    _phase_seconds.labels(phase).observe(seconds)
