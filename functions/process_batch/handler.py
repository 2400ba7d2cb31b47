"""The function `process-batch`: stores batches of events, called by the connector.

`POST` takes a CloudEvents batch, one CloudEvent (structured or binary), or plain events as ingest
does: an object, an array, or NDJSON.
"""

import gc
import logging
from bisect import bisect_right
from collections import Counter, defaultdict
from functools import cache
from itertools import accumulate
from math import ceil
from random import uniform
from time import perf_counter
from typing import Any

import flask
import orjson
from werkzeug.exceptions import RequestEntityTooLarge

from functions.common import health, logs
from functions.common.errors import DatabaseUnavailableError, RequestRefusedError
from functions.common.health import Checks
from functions.common.http import wsgi
from functions.common.http.body import body_too_large
from functions.common.http.front_door import FrontDoor, Route

from . import compactor, database, metrics
from .access import check_settings, check_signature, read_signature
from .body import EventMessage, is_batch, read_messages
from .database import pool
from .settings import settings
from .validation import MAX_REASON, DeadEvent, ValidationSummary, validated_rows
from .writer import Writer, WriteResult

# A batch makes some hundred thousand objects and no cycles: collecting every 700, and looking at
# all modules each time, took a fifth of the whole time.
gc.freeze()
gc.set_threshold(200_000, 10, 10)

logs.configure("process-batch")
logger = logging.getLogger(__name__)
check_settings()

CALL_IDS_PER_LINE = 100
MAX_TEXT_BYTES = 400_000
"""Bytes of reasons and event ids in a response: then it stays below 1 MB, whatever they are."""


@cache
def writer() -> Writer:
    """Return this process's writer."""
    return Writer(pool(), settings().max_new_partitions)


def check_database() -> Checks:
    """Return what is wrong with the database."""
    return {"database": database.fault()}


def store(request: flask.Request) -> flask.Response:
    """Store the events of one request, and return the response.

    Raises:
        RequestRefusedError: the connector did not sign the request, it cannot be read, or the
            database is unavailable.
    """
    try:
        return _store(request)
    except DatabaseUnavailableError as error:
        logger.warning("batch cannot be stored now", extra={"reason": error.detail})
        metrics.UNAVAILABLE.labels(error.state).inc()
        raise RequestRefusedError(503, error.detail, retry_after=settings().retry_after) from error


def _store(request: flask.Request) -> flask.Response:
    started = perf_counter()
    headers = {name.lower(): value for name, value in request.headers.items()}
    signature = read_signature(request)
    body = _body(request)
    check_signature(signature, body)
    limits = settings()
    messages = read_messages(
        body,
        headers,
        limits.max_batch_bytes,
        max_values=limits.max_batch_values,
        max_events=limits.max_batch_events,
    )
    redelivered = any(message.redelivered for message in messages)
    validation = ValidationSummary(seconds=perf_counter() - started)
    stored = writer().store(validated_rows(messages, validation, limits), redelivered)
    metrics.observe("validate", validation.seconds)
    dead_events = validation.invalid + [
        DeadEvent(row.position, row.event_id, reason[:MAX_REASON], "database")
        for row, reason in stored.rejected
    ]
    starts = list(accumulate((len(message.events) for message in messages[:-1]), initial=0))
    waiting = Counter(_message_at(starts, row.position) for row in stored.waiting)
    if waiting:
        # those of the same messages are reported when the messages come again
        dead_events = [
            each for each in dead_events if _message_at(starts, each.position) not in waiting
        ]
    dead_events.sort(key=lambda each: each.position)
    _report(messages, validation, stored, dead_events, perf_counter() - started)
    if stored.inserted:
        compactor.wake()
    if stored.waiting and not is_batch(headers):
        raise RequestRefusedError(
            503,
            f"{len(stored.waiting)} events are on days that wait for their partition; the others "
            "are stored. Send the same again.",
            retry_after=ceil(settings().deferral_interval),
        )
    if messages and messages[0].id is not None:
        return _batch_response(
            messages, _failures_of_events(messages, starts, dead_events), waiting
        )
    return _plain_response(validation, stored, dead_events)


def _body(request: flask.Request) -> bytes:
    """Return the body as it was sent, unless it is longer than allowed."""
    limit = settings().max_batch_bytes
    request.max_content_length = limit
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise body_too_large(limit) from None


def _report(
    messages: list[EventMessage],
    validation: ValidationSummary,
    stored: WriteResult,
    dead: list[DeadEvent],
    seconds: float,
) -> None:
    duplicates = validation.duplicates + stored.duplicates
    metrics.BATCH_EVENTS.observe(validation.received)
    metrics.RECEIVED.inc(validation.received)
    metrics.INSERTED.inc(stored.inserted)
    metrics.DUPLICATE.inc(duplicates)
    metrics.DEAD.inc(len(dead))
    for kind, count in Counter(each.kind for each in dead).items():
        metrics.DEAD_BY_REASON.labels(kind).inc(count)
    waiting = validation.received - stored.inserted - duplicates - len(dead)
    metrics.WAITING.inc(waiting)
    summary = {
        "messages": len(messages),
        "received": validation.received,
        "inserted": stored.inserted,
        "duplicates": duplicates,
        "dead": len(dead),
        "waiting": waiting,
        "seconds": round(seconds, 4),
    }
    call_ids = list(dict.fromkeys(each for message in messages for each in message.call_ids))
    logger.info("batch stored", extra={**summary, "callIds": call_ids[:CALL_IDS_PER_LINE]})
    for at in range(CALL_IDS_PER_LINE, len(call_ids), CALL_IDS_PER_LINE):
        more = call_ids[at : at + CALL_IDS_PER_LINE]
        logger.info("batch stored, further calls", extra={"callIds": more})


def _batch_response(
    messages: list[EventMessage], failures_of_events: list[dict[str, Any]], waiting: Counter[int]
) -> flask.Response:
    """Answer with what failed and what waits, by message; an empty body when nothing did."""
    failures: list[dict[str, Any]] = [
        {"itemIdentifier": message.id, "disposition": "dead", "reason": message.fault}
        for message in messages
        if message.fault is not None
    ]
    failures += failures_of_events
    longest = settings().deferral_interval
    failures += [
        {
            "itemIdentifier": messages[place].id,
            "disposition": "defer",
            "reason": f"{events} events are on days that wait for their partition",
            # not all at the same moment, and in front of what is new
            "retryAfter": round(uniform(longest / 2, longest), 1),  # noqa: S311
        }
        for place, events in waiting.items()
    ]
    if not failures:
        return flask.Response(status=200, content_type=health.JSON)
    _shorten(failures)
    return _json(200, {"batchItemFailures": failures})


def _failures_of_events(
    messages: list[EventMessage], starts: list[int], dead_events: list[DeadEvent]
) -> list[dict[str, Any]]:
    by_message: dict[int, list[DeadEvent]] = defaultdict(list)
    for each in dead_events:
        by_message[_message_at(starts, each.position)].append(each)
    return [
        {
            "itemIdentifier": messages[place].id,
            "disposition": "dead",
            "reason": events[0].reason,
            "events": [_describe(each, starts[place]) for each in events],
        }
        for place, events in by_message.items()
    ]


def _message_at(starts: list[int], position: int) -> int:
    """Return the place of the message with the event at a position; `starts`: of each message."""
    return bisect_right(starts, position) - 1


def _describe(dead: DeadEvent, start: int = 0) -> dict[str, Any]:
    return {"index": dead.position - start, "eventId": dead.event_id, "reason": dead.reason}


def _shorten(failures: list[dict[str, Any]]) -> None:
    """Leave out texts once they have filled `MAX_TEXT_BYTES`; what failed is always said.

    An event without a reason takes that of its message, as the connector reads it.
    """
    room = MAX_TEXT_BYTES
    for failure in failures:
        for each in (failure, *failure.get("events", ())):
            room -= len(orjson.dumps((each["reason"], each.get("eventId"))))
            if room < 0:
                del each["reason"]
                each.pop("eventId", None)


def _plain_response(
    validation: ValidationSummary, stored: WriteResult, dead_events: list[DeadEvent]
) -> flask.Response:
    dead = [_describe(each) for each in dead_events]
    _shorten(dead)
    return _json(
        200,
        {
            "received": validation.received,
            "inserted": stored.inserted,
            "duplicates": validation.duplicates + stored.duplicates,
            "dead": dead,
        },
    )


def _json(status: int, content: dict[str, Any]) -> flask.Response:
    return flask.Response(orjson.dumps(content), status, content_type=health.JSON)


FRONT_DOOR = FrontDoor(
    metrics.REQUESTS,
    metrics.REQUEST_SECONDS,
    metrics.OVER_LIMIT,
    refused=metrics.CREDENTIALS_REFUSED,
    routes={"/": Route(("POST",), store)},
    find_route=lambda path: "/",  # the connector and gateways differ in the path that they send to
    hint="Send batches to /.",
)
handle = wsgi.serve(FRONT_DOOR, check_database)
