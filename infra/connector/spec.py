"""What a function wants: its topics and how it likes them delivered."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from functions.common.durations import parse_duration
from infra.connector.delivery.backoff import Backoff
from infra.connector.openfaas.replicas import ReplicaLimits
from infra.connector.subjects import parse_topics

TOPIC = "topic"
PREFIX = "jetstream."
SCALE_LABEL = "com.openfaas.scale."
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
BATCH_ANNOTATIONS = frozenset({"batch-size", "batch-bytes", "batch-window"})

RETRIES = Backoff((1.0, 5.0, 15.0, 30.0))
"""The waits before a message is tried again, where nobody says otherwise."""

ANNOTATIONS = {
    "topic": "comma-separated NATS subjects, wildcards allowed; what makes a function be found",
    "jetstream.batch-size": "events in a batch (NATS_BATCH_SIZE)",
    "jetstream.batch-bytes": "bytes in a batch (NATS_BATCH_BYTES)",
    "jetstream.batch-window": "the longest wait for a batch to fill, such as 100ms"
    " (NATS_BATCH_WINDOW)",
    "jetstream.concurrency": "invocations at the same time (NATS_CONCURRENCY)",
    "jetstream.ack-wait": "how long the server waits for a sign of life before it delivers a"
    " message again (NATS_ACK_WAIT)",
    "jetstream.max-deliver": "attempts charged to a message before it is dead (NATS_MAX_DELIVER)",
    "jetstream.backoff": "comma-separated waits before the retries; the last one repeats"
    " (NATS_BACKOFF)",
    "jetstream.max-ack-pending": "unacknowledged messages of all connectors together"
    " (NATS_MAX_ACK_PENDING)",
    "jetstream.timeout": "the longest wait for an answer (FUNCTION_TIMEOUT)",
    "jetstream.stream": "the stream of the topics, where the subject does not tell (STREAM)",
    "jetstream.lag-per-replica": "events of backlog for which one replica more is asked"
    " (LAG_PER_REPLICA)",
}
"""Every annotation that is read, and what it means; in brackets where its default comes from."""


@dataclass(frozen=True)
class Delivery:
    """How messages are delivered. Sizes in events and bytes, times in seconds."""

    batch: bool = True
    batch_size: int = 5000
    batch_bytes: int = 4 * 1024**2
    batch_window: float = 0.1
    concurrency: int = 4
    ack_wait: float = 30.0
    max_deliver: int = 5
    backoff: Backoff = RETRIES
    max_ack_pending: int = 20_000
    timeout: float = 60.0


@dataclass(frozen=True)
class BindingSpec:
    """One function bound to its topics.

    Attributes:
        function: its name, with its namespace after a dot where it has one.
        url: where it is invoked.
        topics: NATS subjects.
        stream: the stream of the topics, or None to find it by the subjects.
        delivery: how it wants messages.
        replicas: between what the connector may scale it; None leaves scaling alone.
    """

    function: str
    url: str
    topics: tuple[str, ...]
    stream: str | None
    delivery: Delivery
    replicas: ReplicaLimits | None = None


def consumer_name(function: str, prefix: str = "") -> str:
    """Return the name of a function's durable consumer.

    It does not hold the subjects: when a function changes its topics, its consumer is changed and
    not left behind, where on a workqueue it would keep others from the same subjects.
    """
    plain = prefix + function
    name = _NOT_IN_A_NAME.sub("_", plain)
    if name == plain and len(name) <= 64:
        return name
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{name[:55]}-{digest}"


def read_delivery(annotations: Mapping[str, str], defaults: Delivery) -> Delivery:
    """Return how a function with these annotations wants its messages.

    A function without any batch annotation gets one message per call.

    Raises:
        ValueError: an annotation has a value that makes no sense.
    """
    given = {
        key.removeprefix(PREFIX): value.strip()
        for key, value in annotations.items()
        if key.startswith(PREFIX)
    }
    delivery = replace(defaults, batch=bool(BATCH_ANNOTATIONS & given.keys()))
    readers = {
        "batch-size": ("batch_size", _count),
        "batch-bytes": ("batch_bytes", _count),
        "batch-window": ("batch_window", parse_duration),
        "concurrency": ("concurrency", _count),
        "ack-wait": ("ack_wait", _positive_duration),
        "max-deliver": ("max_deliver", _count),
        "backoff": ("backoff", read_backoff),
        "max-ack-pending": ("max_ack_pending", _count),
        "timeout": ("timeout", _positive_duration),
    }
    for key, (attribute, read) in readers.items():
        if key in given:
            try:
                delivery = replace(delivery, **{attribute: read(given[key])})
            except ValueError as error:
                raise ValueError(f"annotation {PREFIX}{key}: {error}") from None
    return delivery


def read_replicas(
    labels: Mapping[str, str], annotations: Mapping[str, str], defaults: ReplicaLimits
) -> ReplicaLimits:
    """Return between what a function with these labels may be scaled.

    Raises:
        ValueError: a label or annotation has a value that makes no sense.
    """

    def label(name: str) -> str | None:
        return labels.get(SCALE_LABEL + name) or None

    try:
        least = int(label("min") or defaults.least)
        most = max(int(label("max") or defaults.most), least, 1)
        zero = (label("zero") or "").lower() == "true"
        zero_after = parse_duration(label("zero-duration") or "15m") if zero or least == 0 else None
        lag = annotations.get(PREFIX + "lag-per-replica")
        lag_per_replica = _count(lag) if lag else defaults.lag_per_replica
    except ValueError as error:
        raise ValueError(f"scaling of the function: {error}") from None
    return ReplicaLimits(
        least=max(least, 0),
        most=most,
        lag_per_replica=lag_per_replica,
        hold=defaults.hold,
        zero_after=zero_after,
    )


def read_backoff(text: str) -> Backoff:
    """Return the backoff that a list of waits such as `1s,5s,30s` stands for.

    Raises:
        ValueError: it is not such a list.
    """
    return Backoff(tuple(parse_duration(part) for part in text.split(",")))


def read_topics(annotations: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the topics of a function, None if it has no such annotation.

    Raises:
        ValueError: one of them is not a subject.
    """
    text = annotations.get(TOPIC)
    return parse_topics(text) if text is not None else None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"not a number of at least 1: {text!r}")
    return int(text)


def _positive_duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"not longer than nothing: {text!r}")
    return seconds
