"""Raw events: search page by page, and export."""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..errors import UnsupportedQueryError
from ..formatting import Money, Time, money, utc
from ..query.filters import Filters, Text
from ..query.statements import Statements
from .report import Report

SQL = Statements("report_events.sql")

FIRST_WINDOW = timedelta(hours=1)
WIDEN = 8
"""A search looks at windows of time, newest first, each so many times longer than the former."""
PAGE = 100
LARGEST_PAGE = 1000

Position = tuple[datetime, str]
"""Moment and id of an event, which is its place in the order."""


def _contained(text: str) -> str:
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise PydanticCustomError("json", "Is not JSON") from error
    if not isinstance(value, dict):
        raise PydanticCustomError("json", "Must be a JSON object")
    return text


def write_cursor(row: Row) -> str:
    """Return the cursor that continues after an event."""
    position = f"{row['occurred_at'].isoformat()} {row['event_id']}"
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def read_cursor(text: str) -> Position:
    """Return the position that a cursor names. Raises `PydanticCustomError`."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        position = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        moment, event_id = position.split(" ", 1)
        if "\x00" in event_id:
            raise ValueError
        return datetime.fromisoformat(moment).astimezone(UTC), event_id
    except (ValueError, OverflowError, binascii.Error) as error:
        raise PydanticCustomError("cursor", "Is not a cursor of an earlier answer") from error


def _checked_cursor(text: str) -> str:
    read_cursor(text)
    return text


class EventsQuery(Filters):
    """Parameters of the search."""

    userId: Text | None = Field(
        None, description="Only events of this user.", examples=["fb-user-17"]
    )
    where: Annotated[str, Field(max_length=4000), AfterValidator(_contained)] | None = Field(
        None,
        description="A JSON object that `data` must contain: every field named in it is there with "
        "this value, at any depth.",
        examples=['{"engagement":{"device":"mobile"}}'],
    )
    limit: int | None = Field(
        None,
        ge=1,
        description=f"The most events: by default {PAGE} in a page (at most {LARGEST_PAGE}), and "
        "all in an export.",
        examples=[50],
    )
    cursor: Annotated[str, Field(max_length=600), AfterValidator(_checked_cursor)] | None = Field(
        None, description="`nextCursor` of the page before: the events after it."
    )
    format: Literal["json", "ndjson", "csv"] | None = Field(
        None,
        description="`json` is a page. `ndjson` (one event a line) and `csv` are exports, which "
        "stream. By default what the Accept header prefers.",
        examples=["json"],
    )

    def params(self) -> dict[str, Any]:
        """Return what the statements take, but for `limit`."""
        before = read_cursor(self.cursor) if self.cursor else (None, None)
        return super().params() | {
            "user_id": self.userId,
            "contained": self.where,
            "before_time": before[0],
            "before_id": before[1],
        }


class Event(TypedDict):
    """A stored event; `extra` holds the envelope's fields that the contract does not know."""

    eventId: str
    timestamp: Time
    receivedAt: Time
    source: str
    funnelStage: Literal["top", "bottom"]
    eventType: str
    userId: str
    country: str | None
    campaignId: str | None
    revenue: Money | None
    data: dict[str, Any]
    extra: dict[str, Any] | None


class Events(TypedDict):
    """A page of events, newest first; `nextCursor` is null on the last page."""

    items: list[Event]
    nextCursor: str | None


def as_event(row: Row) -> Event:
    """Return a stored event as it is answered."""
    return {
        "eventId": row["event_id"],
        "timestamp": utc(row["occurred_at"]),
        "receivedAt": utc(row["received_at"]),
        "source": row["source"],
        "funnelStage": row["funnel_stage"],
        "eventType": row["event_type"],
        "userId": row["user_id"],
        "country": row["country"],
        "campaignId": row["campaign_id"],
        "revenue": None if row["revenue"] is None else money(row["revenue"]),
        "data": row["data"],
        "extra": row["extra"],
    }


def _bounds(now: Snapshot, query: EventsQuery) -> tuple[datetime, datetime] | None:
    """Return from where to where events can be found, None where nothing is stored."""
    stored = now.row(SQL["stored_range"])
    if stored["first_at"] is None:
        return None
    start = max(query.from_ or stored["first_at"], stored["first_at"])
    end = min(
        query.to or datetime.max.replace(tzinfo=UTC), stored["last_at"] + timedelta.resolution
    )
    if query.cursor:
        end = min(end, read_cursor(query.cursor)[0] + timedelta.resolution)
    return (start, end) if start < end else None


def _windows(
    start: datetime, end: datetime, length: timedelta, widen: int
) -> Iterator[dict[str, Any]]:
    """Cut a range into windows, newest first; give each as SQL parameters."""
    while start < end:
        begin = max(start, end - length) if end - start > length else start
        yield {
            "from_time": begin,
            "to_time": end,
            "from_day": begin.date(),
            "to_day": end.date(),
        }
        end = begin
        length *= widen


def _statement(query: EventsQuery) -> str:
    return SQL["events" if query.where is None else "events_containing"]


def search(now: Snapshot, query: EventsQuery) -> Events:
    """Compute a page."""
    limit = query.limit or PAGE
    if limit > LARGEST_PAGE:
        raise UnsupportedQueryError(
            "limit", f"A page has at most {LARGEST_PAGE} events; export takes more"
        )
    params = query.params()
    rows: list[Row] = []
    for window in _windows(*(_bounds(now, query) or (_NEVER, _NEVER)), FIRST_WINDOW, WIDEN):
        missing = limit + 1 - len(rows)
        rows += now.rows(_statement(query), params | window | {"limit": missing})
        if len(rows) > limit:
            break
    more = len(rows) > limit
    return {
        "items": [as_event(row) for row in rows[:limit]],
        "nextCursor": write_cursor(rows[limit - 1]) if more else None,
    }


_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


def export(now: Snapshot, query: EventsQuery, most: int) -> Iterator[Row]:
    """Give the events of a question in order, at most `most`, without holding many of them."""
    left = min(query.limit or most, most)
    bounds = _bounds(now, query)
    if bounds is None:
        return
    params = query.params()
    for window in _days(*bounds):
        for row in now.stream(_statement(query), params | window | {"limit": left}):
            yield row
            left -= 1
        if left <= 0:
            return


def _days(start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Cut a range at midnights, newest first: a day is a partition, sorted on its own."""
    midnight = (end - timedelta.resolution).replace(hour=0, minute=0, second=0, microsecond=0)
    while start < end:
        begin = max(start, midnight)
        yield {
            "from_time": begin,
            "to_time": end,
            "from_day": begin.date(),
            "to_day": begin.date(),
        }
        end = begin
        midnight -= timedelta(days=1)


REPORT = Report(
    name="events",
    summary="Raw events, by search or as export",
    description="Stored events, newest first. Pages follow each other by `nextCursor`: events that "
    "come in meanwhile neither repeat nor hide any. An export streams all events of the question; "
    "a connection that breaks before the end means it is not complete. In CSV, text that a "
    "spreadsheet would take for a formula has an apostrophe in front.",
    query=EventsQuery,
    answer=Events,
    compute=search,
    exports={
        "application/x-ndjson": {
            "schema": {"type": "string", "description": "One event a line, as in `items`."}
        },
        "text/csv": {
            "schema": {"type": "string", "description": "A header, then one event a row."}
        },
    },
)
