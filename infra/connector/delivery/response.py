"""What a function's HTTP response means for the messages it was given."""

import email.utils
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, cast

from infra.connector.delivery.named_items import named_items
from infra.connector.delivery.results import Result, read_results, single_result
from infra.connector.errors import MalformedResponseError

MAX_QUOTE_LENGTH = 200

TOO_EARLY = 425
TOO_MANY_REQUESTS = 429
_UNAVAILABLE = frozenset({408, TOO_EARLY, TOO_MANY_REQUESTS, 503})
INTERNAL_HEADER = "X-OpenFaaS-Internal"
DISPOSITION_HEADER = "Universe-Disposition"
REASON_HEADER = "Universe-Reason"


class Fault(Enum):
    """How an invocation failed."""

    ERROR = "error"
    """The function responded with an error, or with a body that does not follow the contract."""
    CRASH = "crash"
    """The connection was lost during the call, or a gateway reports that it got no response."""
    TIMEOUT = "timeout"
    """No response within the time limit."""


@dataclass(frozen=True)
class DeadEvent:
    """An event of a message that the function cannot process.

    Attributes:
        index: its index in the message's array of events, from 0.
        event_id: its id as reported by the function.
        reason: why, for a person to read.
    """

    index: int
    event_id: str | None
    reason: str


@dataclass(frozen=True)
class Retry:
    """A message that the function asks to get again, or later.

    Attributes:
        reason: why, for a person to read.
        delay: seconds that the function asks to wait; None leaves it to the connector.
    """

    reason: str
    delay: float | None = None


@dataclass(frozen=True)
class Success:
    """The function processed the messages, those that are in none of the mappings completely.

    Attributes:
        retry: by message id, the messages to deliver again.
        deferred: by message id, the messages that the function cannot process yet, through no fault
            of theirs.
        dead: by message id, the reason for which the whole message is dead.
        dead_events: by message id, its events that are dead; its other events are done.
        results: by message id, what is published of its processing, if that is wanted.
    """

    retry: Mapping[str, Retry] = field(default_factory=dict[str, Retry])
    deferred: Mapping[str, Retry] = field(default_factory=dict[str, Retry])
    dead: Mapping[str, str] = field(default_factory=dict[str, str])
    dead_events: Mapping[str, tuple[DeadEvent, ...]] = field(
        default_factory=dict[str, tuple[DeadEvent, ...]]
    )
    results: Mapping[str, tuple[Result, ...]] = field(default_factory=dict[str, tuple[Result, ...]])

    @property
    def all_done(self) -> bool:
        """Whether nothing is said of any message."""
        return not (self.retry or self.deferred or self.dead or self.dead_events or self.results)


@dataclass(frozen=True)
class Unavailable:
    """The function did not accept the messages; no attempt is charged.

    Attributes:
        reason: for a person to read.
        retry_after: seconds that it asks to wait, or None.
        reached: whether the function itself received the messages.
        unauthorized: whether the connector is not allowed to invoke it, which no retry changes.
        busy: whether it has as many calls as it takes at the same time.
    """

    reason: str
    retry_after: float | None = None
    reached: bool = True
    unauthorized: bool = False
    busy: bool = False


@dataclass(frozen=True)
class Failed:
    """The invocation failed; an attempt may be charged."""

    fault: Fault
    reason: str


@dataclass(frozen=True)
class Rejected:
    """The function rejected the messages (a 4xx): delivering the same again is no use."""

    status: int
    reason: str


Response = Success | Unavailable | Failed | Rejected

_quoting = re.compile(r"(HTTP \d+|malformed response|the connection was lost during the call): ")


def summary(response: Unavailable | Failed | Rejected) -> str:
    """Return the reason for logs, without what it quotes of the response: that may quote events."""
    quoting = _quoting.match(response.reason)
    return quoting[1] if quoting else response.reason


def classify(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    ids: Mapping[str, Sequence[str]],
    *,
    batch: bool,
    now: float,
    results: bool = False,
) -> Response:
    """Return what an HTTP response means.

    Args:
        status: the HTTP status.
        headers: the response's headers; the mapping ignores case.
        body: the response's body.
        ids: by each id that the response may name, the ids of the messages of the invocation that
            have it. Several may, if they are CloudEvents with ids of their own.
        batch: whether the function follows the batch contract; otherwise every 2xx means success,
            unless a header says what becomes of the message.
        now: seconds since 1970, for a `Retry-After` that is a date.
        results: whether the results in a 2xx are wanted.
    """
    internal = headers.get(INTERNAL_HEADER) is not None
    said = None if batch or internal else headers.get(DISPOSITION_HEADER)
    if said is not None:
        wanted = results and 200 <= status < 300
        return _by_header(said.strip().lower(), headers, body, ids, now, wanted)
    if 200 <= status < 300:
        if _is_failed_cold_start(status, headers, body):
            return Unavailable("the function did not start in time", reached=False)
        return _partial(body, ids, results) if batch else _done(headers, body, ids, results)
    quote = f"HTTP {status}{_quote(body)}"
    if status in _UNAVAILABLE or status < 400:
        # a redirect is a log-in page or a wrong URL, not the message's fault
        after = retry_after(headers.get("Retry-After"), now)
        busy = status == TOO_MANY_REQUESTS
        return Unavailable(quote, after, reached=not internal, busy=busy)
    if status >= 500:
        crashed = status in (502, 504) or internal
        fault = Fault.TIMEOUT if status == 504 else Fault.CRASH if crashed else Fault.ERROR
        return Failed(fault, quote)
    return Unavailable(quote, reached=False) if internal else Rejected(status, quote)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None if it is missing or invalid."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError, TypeError):
        return None


def _is_failed_cold_start(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    # When a start from zero takes too long, the OpenFaaS gateway writes no response, which arrives
    # as an empty 200. The provider gives every response of a function a content type.
    return (
        status == 200
        and not body
        and headers.get("X-Start-Time") is not None
        and headers.get("X-Duration-Seconds") is None
        and headers.get("Content-Type") is None
    )


def _by_header(
    disposition: str,
    headers: Mapping[str, str],
    body: bytes,
    ids: Mapping[str, Sequence[str]],
    now: float,
    results: bool,
) -> Response:
    """Return what a response to a single message means, by its header."""
    [[message]] = ids.values()
    reason = headers.get(REASON_HEADER) or _quote(body).removeprefix(": ")
    after = retry_after(headers.get("Retry-After"), now)
    match disposition:
        case "done":
            return _done(headers, body, ids, results)
        case "dead":
            return Success(dead={message: reason or "the function gave no reason"})
        case "retry":
            return Success(retry={message: Retry(reason or "the function asks to retry", after)})
        case "defer":
            return Success(deferred={message: Retry(reason or "the function defers it", after)})
        case _:
            text = f"malformed response: unknown disposition {disposition[:100]!r}"
            return Failed(Fault.ERROR, text)


def _done(
    headers: Mapping[str, str],
    body: bytes,
    ids: Mapping[str, Sequence[str]],
    results: bool,
) -> Success:
    if not results:
        return Success()
    [[message]] = ids.values()
    return Success(results={message: single_result(headers, body)})


def _partial(
    body: bytes,
    ids: Mapping[str, Sequence[str]],
    results: bool,
) -> Response:
    if not body.strip():
        return Success()
    try:
        content = json.loads(body)
        if content is None:
            return Success()
        if not isinstance(content, dict):
            raise MalformedResponseError("it is not a JSON object")
        answer = cast("dict[str, Any]", content)
        found = read_results(answer.get("batchItemResults"), ids) if results else {}
        understood = _read_failures(answer.get("batchItemFailures"), ids)
        for message in found:
            if any(
                message in at for at in (understood.retry, understood.deferred, understood.dead)
            ):
                raise MalformedResponseError(f"{message} has a result and is not done")
        return replace(understood, results=found)
    except (MalformedResponseError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, MalformedResponseError) else "it is not JSON"
        return Failed(Fault.ERROR, f"malformed response: {why}{_quote(body)}")


def _read_failures(failures: Any, ids: Mapping[str, Sequence[str]]) -> Success:
    retry: dict[str, Retry] = {}
    deferred: dict[str, Retry] = {}
    dead: dict[str, str] = {}
    dead_events: dict[str, tuple[DeadEvent, ...]] = {}
    for name, failure in named_items("batchItemFailures", failures, ids):
        messages = ids[name]
        if any(messages[0] in named for named in (retry, deferred, dead, dead_events)):
            if len(messages) > 1:
                continue  # once for each message that has this id
            raise MalformedResponseError(f"it names {name} twice")
        disposition = failure.get("disposition", "retry")
        reason = _text(failure.get("reason"))
        if disposition == "retry":
            asked = Retry(
                reason or "the function asks to retry", _seconds(failure.get("retryAfter"))
            )
            retry |= dict.fromkeys(messages, asked)
        elif disposition == "defer":
            asked = Retry(reason or "the function defers it", _seconds(failure.get("retryAfter")))
            deferred |= dict.fromkeys(messages, asked)
        elif disposition == "dead" and failure.get("events"):
            events = _read_events(failure["events"], reason)
            dead_events |= dict.fromkeys(messages, events)
        elif disposition == "dead":
            dead |= dict.fromkeys(messages, reason or "the function gave no reason")
        else:
            raise MalformedResponseError(f"unknown disposition {str(disposition)[:100]!r}")
    return Success(retry, deferred, dead, dead_events)


def _read_events(events: Any, reason: str) -> tuple[DeadEvent, ...]:
    if not isinstance(events, list):
        raise MalformedResponseError("events is not an array")
    found: dict[int, DeadEvent] = {}
    for item in cast("list[Any]", events):
        event = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        index = event.get("index")
        if type(index) is not int or index < 0:
            raise MalformedResponseError("an item of events has no index")
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
        raise MalformedResponseError("retryAfter is not a number of seconds")
    return float(value)


def _quote(body: bytes) -> str:
    text = " ".join(body[: MAX_QUOTE_LENGTH * 4].decode("utf-8", "replace").split())
    if not text:
        return ""
    return f": {text if len(text) <= MAX_QUOTE_LENGTH else text[: MAX_QUOTE_LENGTH - 3] + '...'}"
