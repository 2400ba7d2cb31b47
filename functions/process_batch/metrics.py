"""Metrics of process-batch."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

REQUESTS = Counter("universe_process_batch_requests_total", "Requests by HTTP status", ["status"])
_events = Counter(
    "universe_process_batch_events_total",
    "Events by what became of them; received = inserted + duplicate + dead, "
    "besides batches that failed as a whole",
    ["outcome"],
)
RECEIVED = _events.labels("received")
INSERTED = _events.labels("inserted")
DUPLICATE = _events.labels("duplicate")
DEAD = _events.labels("dead")
BATCH_EVENTS = Histogram(
    "universe_process_batch_batch_events",
    "Events in a request",
    buckets=(1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10000),
)
BATCH_SECONDS = Histogram(
    "universe_process_batch_batch_seconds", "Time of a whole request", buckets=_BUCKETS
)
_phase_seconds = Histogram(
    "universe_process_batch_phase_seconds",
    "Time of one phase of a batch: validate, copy, rollup, commit, isolate",
    ["phase"],
    buckets=_BUCKETS,
)
UNAVAILABLE = Counter(
    "universe_process_batch_unavailable_total", "Batches answered with 503, by SQLSTATE", ["state"]
)
COMPACTIONS = Counter("universe_process_batch_compactions_total", "Compactions of rollup deltas")
COMPACTED = Counter("universe_process_batch_compacted_deltas_total", "Rollup deltas compacted")
COMPACTION_SECONDS = Histogram(
    "universe_process_batch_compaction_seconds", "Time of one compaction", buckets=_BUCKETS
)
POOL = Gauge(
    "universe_process_batch_pool_connections",
    "Database connections of this process: open, idle, waiting (requests without one)",
    ["state"],
)


def observe(phase: str, seconds: float) -> None:
    """Record how long one phase of a batch took."""
    _phase_seconds.labels(phase).observe(seconds)
