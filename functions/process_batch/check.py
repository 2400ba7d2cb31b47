"""From messages to rows: validation, and removal of duplicates within the batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from functions.common.events import EVENT, explain, summarize

from .body import BadBody, Message
from .rows import Row, make_row

_event_id_of = attrgetter("event_id")
_day_of = attrgetter("day")


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that cannot be stored.

    Attributes:
        position: its place in the batch.
        event_id: its id, as far as there is one.
        reason: for a person to read.
    """

    position: int
    event_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch after validation.

    Attributes:
        received: how many events it holds, good or bad.
        rows: one per event to store, ordered by day and event id, so that batches which share
            events cannot block each other crosswise.
        duplicates: how many events repeat an earlier one of the batch.
        refused: those that the contract does not allow.
    """

    received: int
    rows: list[Row]
    duplicates: int
    refused: list[Refused]


def check(messages: list[Message]) -> Checked:
    """Validate every event; positions count through all messages.

    The messages' events are let go one after the other: they take several times the memory of their
    rows, and it is quickest to free what was just used.
    """
    now = datetime.now(UTC).isoformat()
    validate = EVENT.validator.validate_python
    rows: list[Row] = []
    refused: list[Refused] = []
    position = 0
    for message in messages:
        dump, events = message.dump, message.events
        for index, event in enumerate(events):
            events[index] = None
            try:
                rows.append(make_row(validate(event), event["timestamp"], position, now, dump))
            except Exception as error:
                refused.append(_refuse(event, position, error))
            position += 1
    # by one text after the other: comparing whole rows takes three times as long
    rows.sort(key=_event_id_of)
    rows.sort(key=_day_of)
    unique = list(_unique(rows))
    return Checked(position, unique, len(rows) - len(unique), refused)


def _unique(rows: list[Row]) -> Iterator[Row]:
    day = event_id = None
    for row in rows:
        if row.event_id != event_id or row.day != day:
            day, event_id = row.day, row.event_id
            yield row


def _refuse(event: Any, position: int, error: Exception) -> Refused:
    if isinstance(event, BadBody):
        return Refused(position, None, event.detail)
    if isinstance(error, ValidationError):
        reason = summarize(explain(error))
    elif isinstance(error, ValueError | TypeError | RecursionError):
        # what JSON cannot hold, or text that is too long
        reason = str(error) or type(error).__name__
    else:
        raise error
    return Refused(position, _event_id(event), reason)


def _event_id(event: Any) -> str | None:
    event_id = event.get("eventId") if isinstance(event, dict) else None
    if not isinstance(event_id, str):
        return None
    return event_id.encode("utf-8", "replace").decode()  # it may hold what no answer can
