"""The connector's Prometheus metrics."""

from collections.abc import Iterable
from typing import cast

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

_LABELS = ("function", "stream")
_P = "universe_connector_"

FETCHED = Counter(_P + "fetched_messages_total", "Messages received from the stream", _LABELS)
FETCHED_EVENTS = Counter(_P + "fetched_events_total", "Events of the messages received", _LABELS)
DONE = Counter(_P + "done_messages_total", "Messages that the function processed", _LABELS)
DONE_EVENTS = Counter(_P + "done_events_total", "Events that the function processed", _LABELS)
DEAD = Counter(_P + "dead_messages_total", "Messages dead-lettered as a whole", _LABELS)
DEAD_EVENTS = Counter(
    _P + "dead_events_total", "Events dead-lettered, alone or with their message", _LABELS
)
RETURNED = Counter(_P + "returned_messages_total", "Messages returned to the stream", _LABELS)
RETURNED_EVENTS = Counter(_P + "returned_events_total", "Events returned to the stream", _LABELS)
FILTERED = Counter(
    _P + "filtered_messages_total",
    "Messages that do not match the function's filter: acknowledged, and not delivered",
    _LABELS,
)
FILTERED_EVENTS = Counter(_P + "filtered_events_total", "Events of these messages", _LABELS)
RETRIED = Counter(_P + "retried_messages_total", "Retries scheduled", (*_LABELS, "charged"))
PUBLISHED = Counter(
    _P + "published_messages_total",
    "Results of the function, and copies of its dead letters, that were published",
    (*_LABELS, "kind"),
)
DEFERRED = Counter(
    _P + "deferred_messages_total",
    "Messages that the function deferred: returned to the stream until later, no attempt charged",
    _LABELS,
)
REDELIVERED = Counter(
    _P + "redelivered_messages_total",
    "Messages that the server delivered again while they were in flight or acknowledged",
    _LABELS,
)
ACKED = Counter(_P + "acked_messages_total", "Messages acknowledged", _LABELS)
INFLIGHT_MESSAGES = Gauge(_P + "inflight_messages", "Messages not yet acknowledged", _LABELS)
INFLIGHT_EVENTS = Gauge(_P + "inflight_events", "Events of the messages in flight", _LABELS)
INFLIGHT_BYTES = Gauge(_P + "inflight_bytes", "Payload bytes of the messages in flight", _LABELS)
INFLIGHT_INVOCATIONS = Gauge(_P + "inflight_invocations", "Invocations that are running", _LABELS)
INVOCATION = Histogram(
    _P + "invocation_seconds",
    "Duration of an invocation, by the kind of response",
    (*_LABELS, "response"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
BATCH_EVENTS = Histogram(
    _P + "batch_events",
    "Events in an invocation",
    _LABELS,
    buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000),
)
BATCH_BYTES = Histogram(
    _P + "batch_bytes",
    "Bytes in the body of an invocation",
    _LABELS,
    buckets=(1e3, 1e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7),
)
LAG = Gauge(_P + "lag_messages", "Messages pending or unacknowledged at the consumer", _LABELS)
OLDEST_WAITING = Gauge(
    _P + "oldest_waiting_seconds",
    "Age of the oldest message that is not acknowledged, waiting or in flight",
    _LABELS,
)
OLDEST_INFLIGHT = Gauge(
    _P + "oldest_inflight_seconds", "Age of the oldest message in flight", _LABELS
)
BREAKER = Gauge(_P + "breaker_state", "0 closed, 1 half-open, 2 open", _LABELS)
PAUSED = Gauge(_P + "paused_state", "1 while the function is unavailable", _LABELS)
CONCURRENCY_LIMIT = Gauge(
    _P + "concurrency_limit",
    "Calls at the same time beyond which the function refuses more (429); 0: it does not",
    _LABELS,
)
DELIVERY_PAUSED = Gauge(
    _P + "delivery_paused",
    "1 while the function's owner has paused it, 2 while its consumer is paused in NATS, else 0",
    _LABELS,
)
ORDER_OWNER = Gauge(
    _P + "order_owner_state",
    "1 while this connector delivers the messages of a function that gets them in order",
    _LABELS,
)
ORDER_KEYS = Gauge(
    _P + "order_keys", "Keys of messages in order of which some are not settled", _LABELS
)
ORDER_HELD_KEYS = Gauge(
    _P + "order_held_keys", "Keys that wait since their first message failed", _LABELS
)
ORDER_RETURNED = Gauge(
    _P + "order_returned_messages",
    "Messages that are in the stream again since they have to wait for others of their key",
    _LABELS,
)
BINDINGS = Gauge(_P + "bindings", "Bindings of a function to a stream")
UNBOUND = Gauge(
    _P + "unbound_functions", "Functions and bindings with a fault, which receive no messages"
)
SETTING_FAULTS = Gauge(
    _P + "unknown_settings", "Environment variables that look like settings and are none"
)
ORPHANS = Gauge(_P + "orphaned_consumers", "Consumers whose function is not there")
ORPHAN_LAG = Gauge(
    _P + "orphan_lag_messages",
    "Messages pending or unacknowledged at the consumer of a function that is not there",
    _LABELS,
)
DESIRED_REPLICAS = Gauge(_P + "desired_replicas", "Replicas requested last", ("function",))
DISCOVERY_FAILURES = Counter(_P + "discovery_failures_total", "Failed requests for the functions")


def _labels_of(metric: MetricWrapperBase) -> set[str]:
    return set(cast("tuple[str, ...]", vars(metric)["_labelnames"]))


_OF_A_BINDING: list[MetricWrapperBase] = [
    metric
    for metric in list(globals().values())
    if isinstance(metric, MetricWrapperBase)
    and set(_LABELS) <= _labels_of(metric)
    and metric is not ORPHAN_LAG
]


def forget_gauges(function: str, stream: str) -> None:
    """Remove the gauges of a binding that has ended: its counters are still to be read."""
    _forget(function, stream, [each for each in _OF_A_BINDING if isinstance(each, Gauge)])


def forget_function(function: str) -> None:
    """Remove what is said of a function that is bound to no stream any more."""
    DESIRED_REPLICAS.remove(function)


def forget(function: str, stream: str) -> None:
    """Remove all that is said of a binding that ended a while ago."""
    _forget(function, stream, _OF_A_BINDING)


def _forget(function: str, stream: str, metrics: Iterable[MetricWrapperBase]) -> None:
    for metric in metrics:
        metric.remove_by_labels({"function": function, "stream": stream})
