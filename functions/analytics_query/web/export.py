"""Exports of raw events, streamed as NDJSON or CSV."""

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

from functions.common.errors import RequestRefusedError

from .. import database, metrics
from ..database import Row
from ..reports.events import EventsQuery, export, to_event
from ..settings import settings

ExportFormat = Literal["ndjson", "csv"]
CONTENT_TYPES: dict[ExportFormat, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
RowEncoder = Callable[[Iterable[Row], bool], bytes]
"""Encodes a chunk of events; the flag is true for the first chunk."""
CHUNK_ROWS = 500
"""Events that are encoded at a time."""

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
def _export_slots() -> threading.BoundedSemaphore:
    # an export holds a connection for its whole duration; half of the pool stays free for reports
    return threading.BoundedSemaphore(max(1, settings().db_pool_max // 2))


def requested_format(query: EventsQuery, request: flask.Request) -> ExportFormat | None:
    """Return the export format that a request asks for; None: a JSON page."""
    if query.format is not None:
        return None if query.format == "json" else query.format
    best = request.accept_mimetypes.best_match(
        ["application/json", "application/x-ndjson", "text/csv"], "application/json"
    )
    accepted: dict[str, ExportFormat] = {"application/x-ndjson": "ndjson", "text/csv": "csv"}
    return accepted.get(best)


def export_response(query: EventsQuery, form: ExportFormat) -> flask.Response:
    """Return a streamed response with all matching events.

    Raises:
        RequestRefusedError: 503, too many exports are running.
        DatabaseUnavailableError: before the response starts; later, the connection is closed.
        QueryTimeoutError: before the response starts; later, the connection is closed.
    """
    if not _export_slots().acquire(blocking=False):
        raise RequestRefusedError(
            503, "Too many exports are running. Try again later.", retry_after=5
        )
    chunks = _chunks(query, _to_csv if form == "csv" else _to_ndjson)
    first = next(chunks)
    response = flask.Response(chain((first,), chunks), content_type=CONTENT_TYPES[form])
    response.call_on_close(chunks.close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Disposition"] = f'attachment; filename="events.{form}"'
    return response


def _chunks(query: EventsQuery, encode: RowEncoder) -> Generator[bytes, None, None]:
    deadline = time.monotonic() + settings().export_timeout
    with ExitStack() as cleanup:
        cleanup.callback(_export_slots().release)
        snapshot = cleanup.enter_context(database.snapshot(settings().export_timeout))
        rows = export(snapshot, query, settings().export_rows_max)
        first = True
        while chunk := list(islice(rows, CHUNK_ROWS)):
            yield encode(chunk, first)
            metrics.EXPORTED.inc(len(chunk))
            first = False
            if time.monotonic() > deadline:
                raise TimeoutError("the export took longer than its time limit")
        if first:
            yield encode((), True)


def _to_ndjson(rows: Iterable[Row], first: bool) -> bytes:
    del first
    return b"".join(orjson.dumps(to_event(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _to_csv(rows: Iterable[Row], first: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    if first:
        writer.writerow(COLUMNS)
    for row in rows:
        event: dict[str, Any] = dict(to_event(row))
        event["data"] = orjson.dumps(event["data"]).decode()
        event["extra"] = orjson.dumps(event["extra"]).decode() if event["extra"] else None
        writer.writerow([_escape_formula(name, event[name]) for name in COLUMNS])
    return text.getvalue().encode()


def _escape_formula(name: str, value: str | None) -> str | None:
    """Prefix text with an apostrophe that a spreadsheet would evaluate as a formula."""
    if value and name != "revenue" and value[0] in "=+-@\t\r":
        return "'" + value
    return value
