"""From messages to rows: validation, and removal of duplicates within the batch."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, cast

from pydantic import ValidationError

from functions.common.contract import MAX_ID_LENGTH
from functions.common.errors import RequestRefusedError, UniverseError
from functions.common.events import EVENT, MAX_SUMMARIZED, explain, summarize
from functions.common.limits import EventLimits, too_large
from functions.common.quick_check import Envelope, check_envelope

from .body import Dump, EventMessage, parse_envelope
from .rows import EventRow, make_plain_row, make_row

ROWS_PER_PART = 500
"""Enough for few writes, and few enough that rows are written while others are still made."""


MAX_REASON = 300
"""Characters of the reason of a dead event."""


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """An event that cannot be stored.

    Attributes:
        position: its place in the batch.
        event_id: its id, as far as there is one.
        reason: for a person to read.
        kind: which bound or rule it breaks, a label of the metric.
    """

    position: int
    event_id: str | None
    reason: str
    kind: str = "contract"


@dataclass(slots=True)
class ValidationSummary:
    """What validation said of a batch.

    Attributes:
        received: how many events it holds, good or bad.
        duplicates: how many events repeat an earlier one of the batch.
        invalid: those that the contract does not allow.
        seconds: how long it took.
    """

    received: int = 0
    duplicates: int = 0
    invalid: list[DeadEvent] = field(default_factory=list[DeadEvent])
    seconds: float = 0.0


class _TooOldError(UniverseError, ValueError):
    """An event is older than `MAX_EVENT_AGE_DAYS` allows."""


class _TooLargeError(UniverseError, ValueError):
    """An event is larger than `MAX_EVENT_BYTES` allows."""


_KINDS: dict[type[Exception], str] = {_TooOldError: "too_old", _TooLargeError: "too_large"}


_MAX_MISSES = 6


class _RowMaker:
    """Makes the rows of events that the contract allows.

    Args:
        arrival: when the batch arrived.
        max_bytes: the most that an event may have.
    """

    def __init__(self, arrival: datetime, max_bytes: int) -> None:
        self.oldest = datetime.min.replace(tzinfo=UTC)
        """No event may be older."""
        self._received_at = arrival.isoformat()
        self._max_bytes = max_bytes
        self._validate = EVENT.validator.validate_python
        self._misses = 0
        self._to_pass_over = 0

    def make(self, event: Any, position: int, dump: Dump) -> EventRow:
        """Return the row of an event.

        Raises:
            ValidationError: the contract does not allow it.
            ValueError: it is too old or too large, or there is no place for a value of it.
        """
        if isinstance(event, Envelope):
            row = self._plain(event, position)
            if row is not None:
                return row
            event, dump = parse_envelope(event)
        valid = self._validate(event)
        if valid["timestamp"] < self.oldest:
            raise _too_old()
        row = make_row(event, valid, position, self._received_at, dump)
        # the row holds what the event does, so few are looked at twice
        if len(row.line) > self._max_bytes and (size := len(dump(event))) > self._max_bytes:
            raise _TooLargeError(too_large(size, self._max_bytes))
        return row

    def _plain(self, event: Envelope, position: int) -> EventRow | None:
        """Return the row where the quick check is enough.

        A look in vain costs something, and unusual events come in crowds: so after some of them one
        after the other, most are not looked at.
        """
        if self._to_pass_over:
            self._to_pass_over -= 1
            return None
        valid = check_envelope(event)
        if valid is None:
            self._misses = min(self._misses + 1, _MAX_MISSES)
            self._to_pass_over = 2 ** (self._misses - 1) - 1
            return None
        self._misses = 0
        if valid["timestamp"] < self.oldest:
            raise _too_old()
        row = make_plain_row(event, valid, position, self._received_at)
        return row if len(row.line) <= self._max_bytes else None


def _too_old() -> _TooOldError:
    return _TooOldError("timestamp: it is older than MAX_EVENT_AGE_DAYS allows")


def validated_rows(
    messages: list[EventMessage],
    validation: ValidationSummary,
    limits: EventLimits | None = None,
) -> Iterator[list[EventRow]]:
    """Validate every event and yield the rows of valid ones, some hundred at a time.

    The messages' events are let go one after the other: they take several times the memory of their
    rows, and it is quickest to free what was just used.

    Args:
        messages: positions of events count through all of them.
        validation: is filled in, and complete after the last row.
        limits: bounds on an event; None: of any size and age.
    """
    started = perf_counter()
    arrival = datetime.now(UTC)
    maker = _RowMaker(arrival, limits.max_event_bytes if limits else sys.maxsize)
    make = maker.make
    event_ids_of: dict[str, set[str]] = defaultdict(set)
    part: list[EventRow] = []
    for message in messages:
        dump, events = message.dump, message.events
        if limits:
            maker.oldest = limits.oldest_replayed(message.accepted or arrival)
        first = validation.received
        validation.received += len(events)
        for index, event in enumerate(events):
            events[index] = None
            position = first + index
            try:
                row = make(event, position, dump)
            except Exception as error:
                validation.invalid.append(_dead_event(event, position, error))
                continue
            event_id, event_ids = row.event_id, event_ids_of[row.day]
            if event_id in event_ids:
                validation.duplicates += 1
                continue
            event_ids.add(event_id)
            part.append(row)
            if len(part) == ROWS_PER_PART:
                validation.seconds += perf_counter() - started
                yield part
                started = perf_counter()
                part = []
    validation.seconds += perf_counter() - started
    if part:
        yield part


def _dead_event(event: Any, position: int, error: Exception) -> DeadEvent:
    if isinstance(event, RequestRefusedError):
        return DeadEvent(position, None, event.detail[:MAX_REASON], "not_json")
    kind = "contract"
    if isinstance(error, ValidationError):
        reason = summarize(explain(error, MAX_SUMMARIZED), error.error_count())
    elif isinstance(error, ValueError | TypeError | RecursionError):
        # what JSON cannot hold, or text that is too long
        reason = str(error) or type(error).__name__
        kind = _KINDS.get(type(error), "not_storable")
    else:
        raise error
    return DeadEvent(position, _event_id(event), reason[:MAX_REASON], kind)


def _event_id(event: Any) -> str | None:
    if isinstance(event, Envelope):
        event_id = event.event_id
    else:
        event_id = cast("dict[str, Any]", event).get("eventId") if isinstance(event, dict) else None
    if not isinstance(event_id, str):
        return None
    return (
        event_id[:MAX_ID_LENGTH].encode("utf-8", "replace").decode()
    )  # it may hold what no response can
