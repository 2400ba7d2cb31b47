"""The annotations and labels of a function that the connector reads."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from functions.common.backoff import Backoff
from functions.common.durations import parse_duration
from infra.connector.bindings.spec import DeliveryOptions
from infra.connector.delivery.filters import parse_filter
from infra.connector.delivery.order_key import parse_order_by
from infra.connector.delivery.pause import parse_paused
from infra.connector.jetstream.start_position import parse_start
from infra.connector.jetstream.subjects import parse_publish_subject, parse_topics
from infra.connector.openfaas.autoscaler import ReplicaLimits

TOPIC = "topic"
PREFIX = "jetstream."
_FAMILY = "jetstream"
SCALE_PREFIX = "com.openfaas.scale."
BATCH_ANNOTATIONS = frozenset({"batch-size", "batch-bytes", "batch-window", "batch-min"})

ANNOTATIONS = {
    "topic": "NATS subjects, wildcards allowed, separated by spaces (or commas, which OpenFaaS"
    " Community Edition refuses); functions with it are bound",
    "jetstream.batch-size": "events in a batch (NATS_BATCH_SIZE)",
    "jetstream.batch-bytes": "bytes of payload in a batch (NATS_BATCH_BYTES)",
    "jetstream.batch-window": "maximum time for a batch to fill, such as 100ms (NATS_BATCH_WINDOW)",
    "jetstream.batch-min": "events below which a batch waits until the window ends, also when the"
    " stream has no more messages (NATS_BATCH_MIN)",
    "jetstream.concurrency": "invocations at the same time, of each connector (NATS_CONCURRENCY)",
    "jetstream.max-concurrency": "invocations at the same time, of all connectors together"
    " (NATS_MAX_CONCURRENCY)",
    "jetstream.rate": "messages in a second, of all connectors together (NATS_RATE)",
    "jetstream.ack-wait": "how long the server waits for an acknowledgement or a sign of progress"
    " before it redelivers a message (NATS_ACK_WAIT)",
    "jetstream.max-deliver": "attempts that are charged to a message before it is dead"
    " (NATS_MAX_DELIVER)",
    "jetstream.backoff": "comma-separated delays before retries; the last one repeats"
    " (NATS_BACKOFF)",
    "jetstream.max-ack-pending": "unacknowledged messages of all connectors together"
    " (NATS_MAX_ACK_PENDING)",
    "jetstream.timeout": "maximum time for a response (FUNCTION_TIMEOUT)",
    "jetstream.stream": "stream of the topics; by default all that store them (STREAM)",
    "jetstream.start": "where in its stream a new consumer begins: all, new, last-per-subject, a"
    " sequence, or a time such as 2026-01-31T12:00:00Z (NATS_START)",
    "jetstream.result-topic": "subject to which the answer of each successful call is published, or"
    " that of each message of a batch (RESULT_TOPIC)",
    "jetstream.error-topic": "subject to which a copy of each dead letter is published"
    " (ERROR_TOPIC)",
    "jetstream.filter": "pattern of the messages that are delivered, as JSON; others are"
    " acknowledged (NATS_FILTER)",
    "jetstream.paused": "true, or a time such as 2026-01-31T12:00:00Z: nothing is delivered, or"
    " not before (NATS_PAUSED)",
    "jetstream.order-by": "messages with the same key are processed in order: subject,"
    " subject-token-N, header:NAME or json:/POINTER (NATS_ORDER_BY)",
    "jetstream.consumer": "an existing durable consumer, which is used as it is",
    "jetstream.lag-per-replica": "events of lag for each of which one replica is requested"
    " (LAG_PER_REPLICA)",
}
"""Every annotation with its meaning; in parentheses the setting that is its default."""

LABELS = {
    "com.openfaas.scale.min": "replicas at least; 0 is as scale.zero; by default 1",
    "com.openfaas.scale.max": "replicas at most; by default 20",
    "com.openfaas.scale.zero": "`true`: no replica while there is no lag and no call",
    "com.openfaas.scale.zero-duration": "for how long there has to be neither; by default 15m",
}
"""Every label with its meaning."""


def check_names(annotations: Mapping[str, str]) -> None:
    """Check that every annotation that is meant for the connector is one that it knows.

    A misspelt one would be taken for none, and messages be delivered in a way nobody wanted.

    Raises:
        ValueError: one is unknown, or there are such annotations and no topic.
    """
    meant = [name for name in annotations if name.strip().lower().startswith(_FAMILY)]
    for name in meant:
        if name not in ANNOTATIONS:
            known = [each.removeprefix(PREFIX) for each in ANNOTATIONS if each.startswith(PREFIX)]
            rest = name.strip().lower().removeprefix(_FAMILY).lstrip("._-/")
            close = difflib.get_close_matches(rest, known, n=1)
            hint = f"; did you mean {PREFIX}{close[0]}?" if close else ""
            raise ValueError(f"unknown annotation {name}{hint}")
    if meant and TOPIC not in annotations:
        raise ValueError(f"annotation {meant[0]} without the annotation {TOPIC}")


def read_topics(annotations: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the topics of a function; None if it has no such annotation.

    Raises:
        ValueError: one of them is not a subject.
    """
    text = annotations.get(TOPIC)
    return parse_topics(text) if text is not None else None


def read_delivery_options(
    annotations: Mapping[str, str], defaults: DeliveryOptions
) -> DeliveryOptions:
    """Return how messages are delivered to a function with these annotations.

    A function without any batch annotation gets one message per call.

    Raises:
        ValueError: the value of an annotation is invalid.
    """
    given = {
        key.removeprefix(PREFIX): value.strip()
        for key, value in annotations.items()
        if key.startswith(PREFIX)
    }
    options = replace(defaults, batch=bool(BATCH_ANNOTATIONS & given.keys()))
    parsers = {
        "batch-size": ("batch_size", _parse_count),
        "batch-bytes": ("batch_bytes", _parse_count),
        "batch-window": ("batch_window", parse_duration),
        "batch-min": ("batch_min", _parse_count),
        "concurrency": ("concurrency", _parse_count),
        "max-concurrency": ("max_concurrency", _parse_count),
        "rate": ("rate", _parse_rate),
        "ack-wait": ("ack_wait", _parse_positive_duration),
        "max-deliver": ("max_deliver", _parse_count),
        "backoff": ("backoff", parse_backoff),
        "max-ack-pending": ("max_ack_pending", _parse_count),
        "timeout": ("timeout", _parse_positive_duration),
        "start": ("start", parse_start),
        "paused": ("paused_until", parse_paused),
        "filter": ("filter", parse_filter),
        "result-topic": ("result_topic", parse_publish_subject),
        "error-topic": ("error_topic", parse_publish_subject),
        "order-by": ("order_by", parse_order_by),
    }
    values: dict[str, Any] = {}
    for key, (attribute, parse) in parsers.items():
        if key in given:
            try:
                values[attribute] = parse(given[key])
            except ValueError as error:
                raise ValueError(f"annotation {PREFIX}{key}: {error}") from None
    return replace(options, **values)


def read_replica_limits(
    labels: Mapping[str, str], annotations: Mapping[str, str], defaults: ReplicaLimits
) -> ReplicaLimits:
    """Return the bounds of scaling for a function with these labels.

    Raises:
        ValueError: the value of a label or annotation is invalid.
    """

    def label(name: str) -> str | None:
        return labels.get(SCALE_PREFIX + name) or None

    try:
        minimum = int(label("min") or defaults.min_replicas)
        maximum = int(label("max") or defaults.max_replicas)
        to_zero = (label("zero") or "").lower() == "true" or minimum == 0
        zero_after = parse_duration(label("zero-duration") or "15m") if to_zero else None
        lag = annotations.get(PREFIX + "lag-per-replica")
        lag_per_replica = _parse_count(lag) if lag else defaults.lag_per_replica
    except ValueError as error:
        raise ValueError(f"scaling of the function: {error}") from None
    return ReplicaLimits(
        min_replicas=max(minimum, 0),
        max_replicas=max(maximum, minimum, 1),
        lag_per_replica=lag_per_replica,
        stabilization_window=defaults.stabilization_window,
        zero_after=zero_after,
    )


def parse_backoff(text: str) -> Backoff:
    """Return the backoff for a list of delays such as `1s,5s,30s`.

    Raises:
        ValueError: it is not such a list.
    """
    return Backoff(tuple(parse_duration(part) for part in text.split(",")))


def _parse_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"not a number of at least 1: {text!r}")
    return int(text)


def _parse_rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError(f"not a number of messages above 0: {text!r}")
    return rate


def _parse_positive_duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"not a positive duration: {text!r}")
    return seconds
