"""What the connector counts and measures."""

from prometheus_client import Counter, Gauge, Histogram

_LABELS = ("function", "stream")
_P = "universe_connector_"

FETCHED = Counter(_P + "fetched_messages_total", "Messages taken in hand", _LABELS)
FETCHED_EVENTS = Counter(_P + "fetched_events_total", "Events of the messages in hand", _LABELS)
DONE = Counter(_P + "done_messages_total", "Messages the function is done with", _LABELS)
DONE_EVENTS = Counter(_P + "done_events_total", "Events the function is done with", _LABELS)
DEAD = Counter(_P + "dead_messages_total", "Messages dead-lettered as a whole", _LABELS)
DEAD_EVENTS = Counter(
    _P + "dead_events_total", "Events dead-lettered, alone or with their message", _LABELS
)
RETURNED = Counter(_P + "returned_messages_total", "Messages given back to the stream", _LABELS)
RETURNED_EVENTS = Counter(_P + "returned_events_total", "Events given back", _LABELS)
RETRIED = Counter(
    _P + "retried_messages_total", "Messages to be delivered again", (*_LABELS, "charged")
)
REPEATED = Counter(
    _P + "repeated_deliveries_total", "Deliveries of messages in hand or done already", _LABELS
)
ACKED = Counter(_P + "acked_messages_total", "Acknowledgements sent", _LABELS)
IN_HAND = Gauge(_P + "in_hand_messages", "Messages between the stream and the function", _LABELS)
IN_HAND_EVENTS = Gauge(_P + "in_hand_events", "Events of the messages in hand", _LABELS)
IN_HAND_BYTES = Gauge(_P + "in_hand_bytes", "Payload bytes in hand", _LABELS)
IN_FLIGHT = Gauge(_P + "in_flight_invocations", "Invocations that run", _LABELS)
INVOCATION = Histogram(
    _P + "invocation_seconds",
    "Time of an invocation by how it went",
    (*_LABELS, "answer"),
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
    "Body bytes of an invocation",
    _LABELS,
    buckets=(1e3, 1e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7),
)
LAG = Gauge(_P + "lag_messages", "Messages pending or unacknowledged", _LABELS)
OLDEST = Gauge(_P + "oldest_in_hand_seconds", "Age of the oldest message in hand", _LABELS)
BREAKER = Gauge(_P + "breaker_state", "0 closed, 1 half-open, 2 open", _LABELS)
PAUSED = Gauge(_P + "paused_state", "1 while the function takes nothing", _LABELS)
BINDINGS = Gauge(_P + "bindings", "Functions bound to a stream")
UNBOUND = Gauge(_P + "unbound_functions", "Functions with a topic that cannot be bound")
REPLICAS_ASKED = Gauge(_P + "asked_replicas", "Replicas asked for last", ("function",))
DISCOVERY_FAILURES = Counter(_P + "discovery_failures_total", "Failed questions to the gateway")
