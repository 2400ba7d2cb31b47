"""What a binding does, and what it waits for, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.connector.bindings.order import OrderState, order_sentences
from infra.connector.delivery.circuit_breaker import BreakerState
from infra.connector.delivery.pause import Pause

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True)
class NextRetry:
    """Messages that are delivered again.

    Attributes:
        message: the id of the first of them.
        messages: how many they are.
        seconds: in how many seconds; 0 or less: as soon as there is room.
        attempts: attempts charged to the first one.
        deliveries: how often the function has had it.
    """

    message: str
    messages: int
    seconds: float
    attempts: int
    deliveries: int


@dataclass(frozen=True)
class Situation:
    """The state of a binding.

    Attributes:
        function: the function.
        topics: its topics on the stream.
        stream: the stream.
        consumer: the consumer.
        batch: whether it gets batches.
        fault: why it is not bound; None while it is.
        lag: messages pending or unacknowledged, of all connectors; None before it is known.
        oldest_seconds: how long the oldest of them has waited; None if that is not known.
        pause: the pause of the function; None while it is not paused.
        inflight: messages in flight here.
        running: for how long each running invocation has run, in seconds.
        concurrency: invocations that may run at the same time.
        timeout: seconds that an invocation may take.
        failures: calls that failed since the last success.
        last_failure: how the last failed call ended; empty if none failed.
        last_failure_seconds: how long ago that was.
        last_success_seconds: how long ago a call succeeded; None if none has.
        breaker: the breaker's state.
        unavailable: whether the function is taken for unavailable.
        resume_seconds: in how many seconds invocations may start again; 0 or less: they may.
        retries: deliveries that wait for a retry.
        next_retry: the first of them.
        max_deliver: attempts after which a message is dead.
        result_topic: where what it answers is published; None: nowhere.
        error_topic: where copies of its dead letters are published; None: nowhere.
        filtered: messages that its filter has kept from it since the start; None: it has no filter.
        max_concurrency: calls at the same time of all connectors; None: no limit.
        own_part: this connector's part of them; None: no limit, or not known yet.
        rate: messages in a second of all connectors; None: no limit.
        limit: calls at the same time beyond which the function refuses more; None: it does not.
        held_back: what cannot be published, and why; None: everything is.
        order: how messages are kept in order; None: they are not.
    """

    function: str
    topics: Sequence[str]
    stream: str
    consumer: str
    batch: bool
    fault: str | None
    lag: int | None
    oldest_seconds: float | None
    pause: Pause | None
    inflight: int
    running: Sequence[float]
    concurrency: int
    timeout: float
    failures: int
    last_failure: str
    last_failure_seconds: float
    last_success_seconds: float | None
    breaker: BreakerState
    unavailable: bool
    resume_seconds: float
    retries: int
    next_retry: NextRetry | None
    max_deliver: int
    result_topic: str | None = None
    error_topic: str | None = None
    held_back: str | None = None
    limit: int | None = None
    filtered: int | None = None
    max_concurrency: int | None = None
    own_part: int | None = None
    rate: float | None = None
    order: OrderState | None = None


def explain(now: Situation) -> list[str]:
    """Return sentences that say what is bound, what waits, and for what."""
    order = () if now.order is None else order_sentences(now.order)
    return [*_bound(now), *_waiting(now), *order, *_calls(now), *_held_back(now), *_retries(now)]


def length(seconds: float) -> str:
    """Return a time in the largest unit that it fills."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    if seconds >= 2 * HOUR:
        return f"{seconds / HOUR:.0f} h"
    if seconds >= 2 * MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    return f"{max(seconds, 0):.0f} s"


def _bound(now: Situation) -> Iterator[str]:
    topics = ", ".join(now.topics)
    if now.fault is not None:
        yield f"{now.function} is not bound to {topics} of stream {now.stream}: {now.fault}"
        return
    kind = "in batches" if now.batch else "one message per call"
    yield (
        f"{now.function} is bound to {topics} of stream {now.stream} by the consumer "
        f"{now.consumer}, {kind}"
    )
    published = {"its answers": now.result_topic, "copies of its dead letters": now.error_topic}
    for what, topic in published.items():
        if topic is not None:
            yield f"{what} are published to {topic}"
    if now.filtered is not None:
        yield (
            f"it gets messages that match its filter; {now.filtered} others were acknowledged "
            "since this connector began"
        )
    if now.pause is not None:
        yield _paused(now, now.pause)


def _paused(now: Situation, pause: Pause) -> str:
    left = length(pause.seconds)
    span = "until somebody ends that" if pause.open_ended else f"for another {left}"
    if not pause.in_nats:
        return f"it is paused by jetstream.paused {span}: nothing is delivered"
    return (
        f"the consumer is paused in NATS {span}: nothing is delivered (python -m infra.connector "
        f"resume {now.function}, or nats consumer resume {now.stream} {now.consumer})"
    )


def _waiting(now: Situation) -> Iterator[str]:
    if now.lag is None:
        yield "how many messages wait is not known yet"
    elif now.lag == 0:
        yield "no message waits"
    else:
        since = (
            "" if now.oldest_seconds is None else (f", the oldest for {length(now.oldest_seconds)}")
        )
        yield f"{now.lag} messages wait or are being delivered{since}; {now.inflight} are here"


def _calls(now: Situation) -> Iterator[str]:
    if now.running:
        yield (
            f"{len(now.running)} of {now.concurrency} calls are running, the longest for "
            f"{length(max(now.running))} of at most {length(now.timeout)}"
        )
    if now.max_concurrency is not None:
        part = (
            "how many of them here is not known yet"
            if now.own_part is None
            else (f"{now.own_part} of them here")
        )
        yield f"at most {now.max_concurrency} calls of all connectors run at the same time, {part}"
    if now.rate is not None:
        yield f"at most {now.rate:g} messages a second are delivered by all connectors together"
    if now.limit is not None:
        yield (
            f"of late the function has refused more than {now.limit} calls at the same time (HTTP "
            "429): one more is tried from time to time"
        )
    if now.last_success_seconds is not None:
        yield f"the last call that succeeded ended {length(now.last_success_seconds)} ago"
    elif not now.last_failure:
        yield "no call has ended yet"
    if now.last_failure:
        row = f", {now.failures} in a row" if now.failures > 1 else ""
        over = "" if now.failures else "; calls have succeeded since"
        ago = length(now.last_failure_seconds)
        yield f"the last call that failed ended {ago} ago{row}: {now.last_failure}{over}"


def _held_back(now: Situation) -> Iterator[str]:
    if now.held_back is not None:
        yield now.held_back
    again = f"in {length(now.resume_seconds)}" if now.resume_seconds > 0 else "next"
    if now.breaker is not BreakerState.CLOSED:
        yield (
            f"the breaker is {now.breaker.name.lower().replace('_', '-')}, since nearly all "
            f"messages turned out dead: one is tried {again}"
        )
    elif now.limit is not None and now.resume_seconds > 0 and not now.unavailable:
        yield f"the function asked for no more calls for another {length(now.resume_seconds)}"
    elif now.unavailable:
        yield f"the function is taken for unavailable: a call is tried {again}, no attempt charged"


def _retries(now: Situation) -> Iterator[str]:
    first = now.next_retry
    if first is None:
        return
    when = f"in {length(first.seconds)}" if first.seconds > 0 else "as soon as there is room"
    more = f" and {first.messages - 1} more" if first.messages > 1 else ""
    yield (
        f"{now.retries} deliveries wait for a retry, the next {when}: {first.message}{more}, which "
        f"the function has had {first.deliveries} times; {first.attempts} of {now.max_deliver} "
        "attempts are charged"
    )
