"""Counting a day's events again, after some of them were deleted.

Sums and sketches are made from the stored events the way they were made when these came: as deltas,
which compaction moves into the rollups.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

import aiosql
import orjson
from psycopg import Connection
from psycopg.types.json import set_json_loads

from functions.common.paths import ROOT

from .compaction import MAX_EVENTS, compact_deltas
from .deltas import COPY_DELTAS, delta_lines
from .rows import EventRow, make_row

# aiosql leaves the type arguments of a parameter open
_queries: Any = aiosql.from_path(  # pyright: ignore[reportUnknownMemberType]
    ROOT / "sql" / "queries" / "recount.sql", "psycopg"
)

EVENTS_PER_DELTAS = 20_000
"""Deltas are made of so many events: more share more keys, and take more memory."""
_EVENTS_PER_FETCH = 2_000


def recount_day(
    connection: Connection, day: date, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Count the events of a day into the rollups, which must hold nothing of that day.

    Rollups of sealed days are not touched. Events that others write meanwhile are not seen; they
    have deltas of their own.

    Args:
        connection: in a transaction that is REPEATABLE READ, and began after its session had got
            the lock of the rollups.
        day: the day.
        progress: is called with the number of events counted since the last call.

    Returns:
        How many events were counted.
    """
    counted, pending = 0, 0
    rows: list[EventRow] = []

    def add_deltas() -> None:
        nonlocal pending
        with connection.cursor() as cursor, cursor.copy(COPY_DELTAS) as copy:
            copy.write("".join(delta_lines(rows)))
        pending += len(rows)
        progress(len(rows))
        rows.clear()
        if pending >= MAX_EVENTS:
            compact()

    def compact() -> None:
        nonlocal pending
        while compact_deltas(connection, counted_day=day).deltas:
            pass
        pending = 0

    with connection.cursor(name="day_events") as stored:
        stored.itersize = _EVENTS_PER_FETCH
        set_json_loads(orjson.loads, stored)
        stored.execute(_queries.day_events.sql.rstrip("; \n").encode(), {"day": day})
        for values in stored:
            rows.append(_row(*values))
            counted += 1
            if len(rows) == EVENTS_PER_DELTAS:
                add_deltas()
    if rows:
        add_deltas()
    compact()
    return counted


def _row(
    event_id: str, occurred_at: str, source: str, stage: str, event_type: str, data: dict[str, Any]
) -> EventRow:
    event = {
        "eventId": event_id,
        "timestamp": occurred_at,
        "source": source,
        "funnelStage": stage,
        "eventType": event_type,
        "data": data,
    }
    # it was validated before it was stored; its text for COPY is not used
    return make_row(event, event, 0, "", _no_text)


def _no_text(_: Any) -> str:
    return ""
