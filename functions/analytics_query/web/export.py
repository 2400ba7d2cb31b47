"""Exports of raw events, streamed as NDJSON or CSV."""

import csv
import functools
import io
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from typing import Any, Literal

import flask

from functions.common.errors import RequestRefusedError
from functions.common.json_text import to_json

from .. import database, metrics
from ..database import Row
from ..reports.events import EventsQuery, export, to_event
from ..settings import settings

ExportFormat = Literal["ndjson", "csv"]
CONTENT_TYPES: dict[ExportFormat, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
RowEncoder = Callable[[Iterable[Row]], Iterator[tuple[bytes, int]]]
"""Encodes events: yields chunks of about `CHUNK_BYTES`, at least one, each with its events."""
CHUNK_BYTES = 256 * 1024
"""A chunk ends with the event that fills it: an event may be much larger than others."""

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
_TEXT_COLUMNS = COLUMNS[:-2]


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
        found = export(snapshot, query, settings().export_rows_max)
        # an abandoned export is still being sent by the server, until this stops it
        rows = cleanup.enter_context(closing(found))
        for chunk, events in encode(rows):
            yield chunk
            metrics.EXPORTED.inc(events)
            if time.monotonic() > deadline:
                raise TimeoutError("the export took longer than its time limit")


def _to_ndjson(rows: Iterable[Row]) -> Iterator[tuple[bytes, int]]:
    lines: list[bytes] = []
    size = 0
    chunks = 0
    for row in rows:
        lines.append(to_json(to_event(row)) + b"\n")
        size += len(lines[-1])
        del row  # it may be large, and the next one is read before it would be replaced
        if size >= CHUNK_BYTES:
            yield b"".join(lines), len(lines)
            lines, size = [], 0
            chunks += 1
    if lines or not chunks:
        yield b"".join(lines), len(lines)


def _to_csv(rows: Iterable[Row]) -> Iterator[tuple[bytes, int]]:
    text = io.StringIO()
    writer = csv.writer(text)

    def line(cells: Iterable[str | None]) -> bytes:
        writer.writerow(cells)
        written = text.getvalue().encode()
        text.seek(0)
        text.truncate()
        return written

    def row_line(row: Row) -> bytes:
        event = to_event(row)
        texts = [_escape_formula(name, event[name]) for name in _TEXT_COLUMNS]
        # quoted here, as the writer would: it takes four bytes a character, several times
        data, extra = _quoted_json(event["data"]), _quoted_json(event["extra"] or None)
        return b"%b,%b,%b\r\n" % (line(texts).removesuffix(b"\r\n"), data, extra)

    lines: list[bytes] = []
    head = line(COLUMNS)
    size = len(head)
    for row in rows:
        lines.append(row_line(row))
        size += len(lines[-1])
        del row  # as above
        if size >= CHUNK_BYTES:
            yield head + b"".join(lines), len(lines)
            lines, head, size = [], b"", 0
    if lines or head:
        yield head + b"".join(lines), len(lines)


def _quoted_json(value: dict[str, Any] | None) -> bytes:
    return b'"%b"' % to_json(value).replace(b'"', b'""') if value is not None else b""


def _escape_formula(name: str, value: str | None) -> str | None:
    """Prefix text with an apostrophe that a spreadsheet would evaluate as a formula."""
    if value and name != "revenue" and value[0] in "=+-@\t\r":
        return "'" + value
    return value
