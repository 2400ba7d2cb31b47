"""Raw events: search with pages, and export."""

import base64
import binascii
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired

import orjson
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..errors import UnsupportedQueryError
from ..formatting import Money, Time, format_money, format_time
from ..query.filters import EventFilters, FilterText
from ..query.statements import Statements
from ..settings import settings
from .report import Report

SQL = Statements("report_events.sql")

FIRST_WINDOW = timedelta(hours=1)
"""A search reads time windows, newest first, so that it stops early; this is the first one."""
WINDOW_GROWTH = 8
"""Each window is this many times longer than the previous one."""
DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
MAX_KEY_BYTES = 4096
"""At most what an event takes in a page besides `data` and `extra`."""

EventPosition = tuple[datetime, str]
"""Time and id of an event, by which events are sorted."""


_EMPTY_RANGE = (datetime(2000, 1, 1, tzinfo=UTC),) * 2


def _check_json_object(text: str) -> str:
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise PydanticCustomError("invalid_json", "Not valid JSON") from error
    if not isinstance(value, dict):
        raise PydanticCustomError("invalid_json", "Must be a JSON object")
    return text


def encode_cursor(row: Row) -> str:
    """Return the cursor of the page that follows an event."""
    position = f"{row['occurred_at'].isoformat()} {row['event_id']}"
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(text: str) -> EventPosition:
    """Return the position of the event before the page.

    Raises:
        PydanticCustomError: the text is not a cursor.
    """
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        position = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        moment, event_id = position.split(" ", 1)
        if "\x00" in event_id:
            raise ValueError
        return datetime.fromisoformat(moment).astimezone(UTC), event_id
    except (ValueError, OverflowError, binascii.Error) as error:
        raise PydanticCustomError(
            "invalid_cursor", "Not a nextCursor of an earlier response"
        ) from error


def _check_cursor(text: str) -> str:
    decode_cursor(text)
    return text


class EventsQuery(EventFilters):
    """The query parameters of search and export."""

    userId: FilterText | None = Field(
        None, description="Only events of this user.", examples=["fb-user-17"]
    )
    where: Annotated[str, Field(max_length=4000), AfterValidator(_check_json_object)] | None = (
        Field(
            None,
            description="A JSON object that `data` must contain: every field in it must have the "
            "same value in `data`, nested objects included.",
            examples=['{"engagement":{"device":"mobile"}}'],
        )
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Maximum number of events. Default: "
        f"{DEFAULT_PAGE_SIZE} in a page (at most {MAX_PAGE_SIZE}), all in an export.",
        examples=[50],
    )
    cursor: Annotated[str, Field(max_length=600), AfterValidator(_check_cursor)] | None = Field(
        None, description="`nextCursor` of the previous page."
    )
    format: Literal["json", "ndjson", "csv"] | None = Field(
        None,
        description="`json`: a page. `ndjson` (one event per line) and `csv`: streamed exports. "
        "Default: what the Accept header prefers.",
        examples=["json"],
    )

    def params(self) -> dict[str, Any]:
        """Return the parameters of the statements, except `limit`."""
        before = decode_cursor(self.cursor) if self.cursor else (None, None)
        return super().params() | {
            "user_id": self.userId,
            "contained": self.where,
            "before_time": before[0],
            "before_id": before[1],
        }


class StoredEvent(TypedDict):
    """A stored event; `extra` holds envelope fields that the contract does not define.

    A page has room for a limited number of bytes. Of an event that alone takes more, the fields
    named in `omitted` are null; an export has them.
    """

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
    data: dict[str, Any] | None
    extra: dict[str, Any] | None
    omitted: NotRequired[list[Literal["data", "extra"]]]


class EventPage(TypedDict):
    """A page of events, newest first; `nextCursor` is null on the last page.

    A page may end before its `limit`, where its events take many bytes.
    """

    items: list[StoredEvent]
    nextCursor: str | None


def to_event(row: Row) -> StoredEvent:
    """Return a row of `events` as in responses."""
    return {
        "eventId": row["event_id"],
        "timestamp": format_time(row["occurred_at"]),
        "receivedAt": format_time(row["received_at"]),
        "source": row["source"],
        "funnelStage": row["funnel_stage"],
        "eventType": row["event_type"],
        "userId": row["user_id"],
        "country": row["country"],
        "campaignId": row["campaign_id"],
        "revenue": None if row["revenue"] is None else format_money(row["revenue"]),
        "data": row["data"],
        "extra": row["extra"],
    }


def _bounds(snapshot: Snapshot, query: EventsQuery) -> tuple[datetime, datetime] | None:
    """Return the range that can contain matching events; None: there is none."""
    stored = snapshot.row(SQL["stored_range"])
    if stored["first_at"] is None:
        return None
    start = max(query.from_ or stored["first_at"], stored["first_at"])
    end = min(
        query.to or datetime.max.replace(tzinfo=UTC), stored["last_at"] + timedelta.resolution
    )
    if query.cursor:
        end = min(end, decode_cursor(query.cursor)[0] + timedelta.resolution)
    return (start, end) if start < end else None


def _windows(
    start: datetime, end: datetime, length: timedelta, growth: int
) -> Iterator[dict[str, Any]]:
    """Split a range into windows, newest first; yield each as SQL parameters."""
    while start < end:
        begin = max(start, end - length) if end - start > length else start
        yield {
            "from_time": begin,
            "to_time": end,
            "from_day": begin.date(),
            "to_day": end.date(),
        }
        end = begin
        length *= growth


def _statement(name: str, query: EventsQuery) -> str:
    few = query.where is not None or query.filter
    found = "found_events_containing" if few else "found_events"
    return SQL.over(name, found=found)


def search(snapshot: Snapshot, query: EventsQuery) -> EventPage:
    """Return a page of events: at most `limit` of them, and at most `MAX_PAGE_BYTES`."""
    limit = query.limit or DEFAULT_PAGE_SIZE
    if limit > MAX_PAGE_SIZE:
        raise UnsupportedQueryError(
            "limit", f"The maximum of a page is {MAX_PAGE_SIZE} events; use an export"
        )
    room = settings().max_page_bytes
    params = query.params() | {"max_event_bytes": room - MAX_KEY_BYTES}
    rows: list[Row] = []
    more = False
    start, end = _bounds(snapshot, query) or _EMPTY_RANGE
    for window in _windows(start, end, FIRST_WINDOW, WINDOW_GROWTH):
        limits = {"limit": limit + 1 - len(rows), "max_bytes": room}
        for row in snapshot.rows(_statement("page", query), params | window | limits):
            more = len(rows) == limit or not row["fits"]
            if more:
                break
            rows.append(row)
            room -= row["bytes"]
        if more:
            break
    return {
        "items": [_to_item(row) for row in rows],
        "nextCursor": encode_cursor(rows[-1]) if more else None,
    }


def _to_item(row: Row) -> StoredEvent:
    event = to_event(row)
    omitted: list[Literal["data", "extra"]] = []
    if row["without_data"]:
        omitted.append("data")
    if row["without_extra"]:
        omitted.append("extra")
    if omitted:
        event["omitted"] = omitted
    return event


def export(snapshot: Snapshot, query: EventsQuery, max_rows: int) -> Generator[Row, None, None]:
    """Yield the matching events, newest first and at most `max_rows`, in bounded memory."""
    remaining = min(query.limit or max_rows, max_rows)
    bounds = _bounds(snapshot, query)
    if bounds is None:
        return
    params = query.params()
    for window in _days(*bounds):
        for row in snapshot.stream(
            _statement("export", query), params | window | {"limit": remaining}
        ):
            yield row
            del row  # it may be large, and the next one is read before it would be replaced
            remaining -= 1
        if remaining <= 0:
            return


def _days(start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Split a range at midnights, newest first: each day is a partition that is sorted alone."""
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
    summary="Raw events: search and export",
    description="Stored events, newest first. `nextCursor` is the cursor of the next page; events "
    "that are stored between two requests are neither repeated nor skipped. A page ends before "
    "its `limit` where its events take many bytes (2 MiB by default), and of an event that alone "
    "takes more, `data` or `extra` is null and named in `omitted`. An export streams all matching "
    "events, whole; it is incomplete if the connection breaks. In CSV, text that a "
    "spreadsheet would evaluate as a formula is prefixed with an apostrophe.",
    query=EventsQuery,
    response=EventPage,
    compute=search,
    exports={
        "application/x-ndjson": {
            "schema": {"type": "string", "description": "One event per line, as in `items`."}
        },
        "text/csv": {
            "schema": {"type": "string", "description": "A header, then one event per row."}
        },
    },
)
