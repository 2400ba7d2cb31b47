"""What a function's answer means for the messages it was given."""

import email.utils
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

LONGEST_QUOTE = 200

TOO_EARLY = 425
_UNAVAILABLE = frozenset({408, TOO_EARLY, 429, 503})
INTERNAL_HEADER = "X-OpenFaaS-Internal"


class Fault(Enum):
    """What kind of failure an attempt is charged for."""

    ERROR = "error"
    """The function answered that it failed, or something that makes no sense."""
    CRASH = "crash"
    """The connection broke during the call, or a gateway says that it could not get an answer."""
    TIMEOUT = "timeout"
    """No answer within the limit."""


@dataclass(frozen=True)
class DeadEvent:
    """One event of a message that the function gives up.

    Attributes:
        index: its place in the message's array of events, from 0.
        event_id: its id as the function read it.
        reason: why, for a person to read.
    """

    index: int
    event_id: str | None
    reason: str


@dataclass(frozen=True)
class Retry:
    """One message the function wants again.

    Attributes:
        reason: why, for a person to read.
        delay: seconds the function asks to wait; None leaves it to the connector.
    """

    reason: str
    delay: float | None = None


@dataclass(frozen=True)
class Done:
    """The function answered; every message that is named in no mapping is done.

    Attributes:
        retry: by message id, those to deliver again.
        dead: by message id, why it is dead as a whole.
        dead_events: by message id, the events of it that are dead while its others are done.
    """

    retry: Mapping[str, Retry] = field(default_factory=dict)
    dead: Mapping[str, str] = field(default_factory=dict)
    dead_events: Mapping[str, tuple[DeadEvent, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Unavailable:
    """The function could not take the messages; no attempt is charged.

    Attributes:
        reason: for a person to read.
        retry_after: seconds it asks to wait, or None.
        reached: whether the function itself has seen them.
    """

    reason: str
    retry_after: float | None = None
    reached: bool = True


@dataclass(frozen=True)
class Failed:
    """The invocation failed; an attempt is charged."""

    fault: Fault
    reason: str


@dataclass(frozen=True)
class Rejected:
    """The function refuses what it was given (a 4xx): trying the same again is of no use."""

    status: int
    reason: str


Answer = Done | Unavailable | Failed | Rejected


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    ids: Collection[str],
    *,
    batch: bool,
    now: float,
) -> Answer:
    """Return what an HTTP answer means.

    Args:
        status: the HTTP status.
        headers: the answer's headers, looked up without regard to case.
        body: the answer's body.
        ids: the messages of the invocation.
        batch: whether the function speaks the batch contract; of any other, every 2xx means done.
        now: seconds since 1970, for a `Retry-After` that is a date.
    """
    if 200 <= status < 300:
        if _gateway_gave_up(status, headers, body):
            why = "the gateway answered for the function, which did not start in time"
            return Unavailable(why, reached=False)
        return _partial(body, ids) if batch else Done()
    quote = f"HTTP {status}{_quote(body)}"
    internal = headers.get(INTERNAL_HEADER) is not None
    if status in _UNAVAILABLE or status < 400:
        # a redirect is somebody's log-in page or a wrong address, not the message's fault
        after = retry_after(headers.get("Retry-After"), now)
        return Unavailable(quote, after, reached=not internal)
    if status >= 500:
        crashed = status in (502, 504) or internal
        fault = Fault.TIMEOUT if status == 504 else Fault.CRASH if crashed else Fault.ERROR
        return Failed(fault, quote)
    return Unavailable(quote, reached=False) if internal else Rejected(status, quote)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds a `Retry-After` header asks for; None where it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError, TypeError):
        return None


def _gateway_gave_up(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    # When a start from zero takes too long, the OpenFaaS gateway writes no answer at all, which
    # arrives as an empty 200. The provider gives every answer of a function a content type.
    return (
        status == 200
        and not body
        and headers.get("X-Start-Time") is not None
        and headers.get("X-Duration-Seconds") is None
        and headers.get("Content-Type") is None
    )


def _partial(body: bytes, ids: Collection[str]) -> Answer:
    if not body.strip():
        return Done()
    try:
        answer = json.loads(body)
        if answer is None:
            return Done()
        if not isinstance(answer, dict):
            raise _Malformed("it is not a JSON object")
        return _read_failures(answer.get("batchItemFailures") or [], ids)
    except (_Malformed, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _Malformed) else "it is not JSON"
        return Failed(Fault.ERROR, f"malformed answer: {why}{_quote(body)}")


class _Malformed(Exception):
    pass


def _read_failures(failures: Any, ids: Collection[str]) -> Done:
    if not isinstance(failures, list):
        raise _Malformed("batchItemFailures is not an array")
    retry: dict[str, Retry] = {}
    dead: dict[str, str] = {}
    dead_events: dict[str, tuple[DeadEvent, ...]] = {}
    for failure in failures:
        if not isinstance(failure, dict):
            raise _Malformed("an item of batchItemFailures is not an object")
        name = failure.get("itemIdentifier")
        if not isinstance(name, str) or name not in ids:
            raise _Malformed(f"it names an unknown item {str(name)[:100]!r}")
        if name in retry or name in dead or name in dead_events:
            raise _Malformed(f"it names {name} twice")
        disposition = failure.get("disposition", "retry")
        reason = _text(failure.get("reason"))
        if disposition == "retry":
            retry[name] = Retry(
                reason or "the function asks to retry", _seconds(failure.get("retryAfter"))
            )
        elif disposition == "dead" and failure.get("events"):
            dead_events[name] = _read_events(failure["events"], reason)
        elif disposition == "dead":
            dead[name] = reason or "the function gave no reason"
        else:
            raise _Malformed(f"unknown disposition {str(disposition)[:100]!r}")
    return Done(retry, dead, dead_events)


def _read_events(events: Any, reason: str) -> tuple[DeadEvent, ...]:
    if not isinstance(events, list):
        raise _Malformed("events is not an array")
    found: dict[int, DeadEvent] = {}
    for event in events:
        index = event.get("index") if isinstance(event, dict) else None
        if type(index) is not int or index < 0:
            raise _Malformed("an item of events has no index")
        event_id = event.get("eventId")
        found[index] = DeadEvent(
            index,
            event_id if isinstance(event_id, str) else None,
            _text(event.get("reason")) or reason or "the function gave no reason",
        )
    return tuple(found[index] for index in sorted(found))


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise _Malformed("retryAfter is not a number of seconds")
    return float(value)


def _quote(body: bytes) -> str:
    text = " ".join(body[: LONGEST_QUOTE * 4].decode("utf-8", "replace").split())
    if not text:
        return ""
    return f": {text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + '...'}"
