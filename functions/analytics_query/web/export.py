"""Streams raw events as NDJSON or CSV."""

import csv
import functools
import io
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from itertools import chain, islice
from typing import Any, Literal

import flask
import orjson
from prometheus_client import Counter

from ..database import Row, snapshot
from ..problems import problem_response
from ..reports.events import EventsQuery, as_event, export
from ..settings import settings

EXPORTED = Counter("universe_analytics_query_exported_events_total", "Events sent in exports")

Format = Literal["ndjson", "csv"]
CONTENT_TYPES: dict[Format, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
Writer = Callable[[Iterable[Row], bool], bytes]
"""Writes some events; told whether they are the first."""
CHUNK = 500
"""Events that are written at once."""

COLUMNS = (
    "eventId",
    "timestamp",
    "receivedAt",
    "source",
    "funnelStage",
    "eventType",
    "userId",
    "country",
    "campaignId",
    "revenue",
    "data",
    "extra",
)


@functools.cache
def _places() -> threading.BoundedSemaphore:
    # each export keeps a connection; reports have some left
    return threading.BoundedSemaphore(max(1, settings().db_pool_max // 2))


def wanted_format(query: EventsQuery, request: flask.Request) -> Format | None:
    """Return the format of the export that is asked for, None where a page is."""
    if query.format is not None:
        return None if query.format == "json" else query.format
    best = request.accept_mimetypes.best_match(
        ["application/json", "application/x-ndjson", "text/csv"], "application/json"
    )
    return {"application/x-ndjson": "ndjson", "text/csv": "csv"}.get(best)  # pyright: ignore[reportReturnType]


def stream(query: EventsQuery, form: Format) -> flask.Response:
    """Answer with all events of a question.

    Raises:
        DatabaseAway, TooSlow: before anything is sent. Later ones break the connection.
    """
    if not _places().acquire(blocking=False):
        return problem_response(
            503, "Too many exports are running. Try again soon.", {"Retry-After": "5"}
        )
    chunks = _chunks(query, _to_csv if form == "csv" else _to_ndjson)
    first = next(chunks)
    response = flask.Response(chain((first,), chunks), content_type=CONTENT_TYPES[form])
    response.call_on_close(chunks.close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Disposition"] = f'attachment; filename="events.{form}"'
    return response


def _chunks(
    query: EventsQuery, write: Callable[[Iterable[Row], bool], bytes]
) -> Generator[bytes, None, None]:
    deadline = time.monotonic() + settings().export_timeout
    with ExitStack() as cleanup:
        cleanup.callback(_places().release)
        now = cleanup.enter_context(snapshot(settings().export_timeout))
        rows = export(now, query, settings().export_rows_max)
        first = True
        while chunk := list(islice(rows, CHUNK)):
            yield write(chunk, first)
            EXPORTED.inc(len(chunk))
            first = False
            if time.monotonic() > deadline:
                raise TimeoutError("the export took longer than its time limit")
        if first:
            yield write((), True)


def _to_ndjson(rows: Iterable[Row], first: bool) -> bytes:
    del first
    return b"".join(orjson.dumps(as_event(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _to_csv(rows: Iterable[Row], first: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    if first:
        writer.writerow(COLUMNS)
    for row in rows:
        event: dict[str, Any] = dict(as_event(row))
        event["data"] = orjson.dumps(event["data"]).decode()
        event["extra"] = orjson.dumps(event["extra"]).decode() if event["extra"] else None
        writer.writerow([_harmless(name, event[name]) for name in COLUMNS])
    return text.getvalue().encode()


def _harmless(name: str, value: str | None) -> str | None:
    """Keep a spreadsheet from taking text that somebody sent for a formula."""
    if value and name != "revenue" and value[0] in "=+-@\t\r":
        return "'" + value
    return value
