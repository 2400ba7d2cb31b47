"""Metrics of ingest."""

from prometheus_client import Counter, Histogram

from functions.common.http.front_door import BUCKETS

REQUESTS = Counter(
    "universe_ingest_requests_total", "Requests by route and HTTP status", ["route", "status"]
)
REQUEST_SECONDS = Histogram(
    "universe_ingest_request_seconds",
    "Time from a request's arrival to its response; a streamed body comes after that",
    buckets=BUCKETS,
)
ACCEPTED = Counter("universe_ingest_events_accepted_total", "Events made durable", ["source"])
FOREIGN = Counter(
    "universe_ingest_events_foreign_total",
    "Events of a source that the webhook they arrived at may not write",
)
CREDENTIALS_REFUSED = Counter(
    "universe_ingest_credentials_refused_total",
    "Requests without a valid key, verify token or signature: missing, malformed, expired, wrong, "
    "or no_secret, where the webhook has none to compare it with",
    ["route", "fault"],
)
OVER_LIMIT = Counter(
    "universe_ingest_requests_over_limit_total",
    "Requests that break a bound: body_too_large, too_many_values, too_many_events",
    ["reason"],
)
REJECTED = Counter(
    "universe_ingest_events_rejected_total",
    "Events that are not accepted, by why: contract, not_json, too_old, in_future, and too_large, "
    "which are not sent to the DLQ as the others are",
    ["source", "reason"],
)
MESSAGES = Counter("universe_ingest_messages_published_total", "JetStream messages acknowledged")
MESSAGE_EVENTS = Histogram(
    "universe_ingest_message_events",
    "Events in a message",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
)
PUBLISH_SECONDS = Histogram(
    "universe_ingest_publish_seconds",
    "Time from publishing a message to its acknowledgement",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
PUBLISH_FAILURES = Counter(
    "universe_ingest_publish_failures_total",
    "Requests whose events the broker did not acknowledge",
    ["why"],
)
