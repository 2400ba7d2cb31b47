"""The function `ingest`: `POST /webhook/event` takes one event, an array of events, or NDJSON."""

import logging
import time
from functools import cache
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from functions.common import health, logs
from functions.common.correlation import CALL_ID, CALL_ID_HEADER, call_id_from
from functions.common.metrics import render
from functions.common.problem import PROBLEM_JSON, problem

from . import metrics
from .body import decode, is_ndjson, read, split
from .check import Checked, Rejected, check
from .credentials import authenticate
from .errors import Refusal
from .publisher import Publisher
from .settings import settings

logs.configure("ingest")
log = logging.getLogger(__name__)

EVENT_PATHS = frozenset({"/", "/webhook/event"})


@cache
def publisher() -> Publisher:
    """Return this process's publisher."""
    return Publisher(settings())


async def handle(request: Request) -> Response:
    """Answer one HTTP request."""
    path = request.url.path.rstrip("/") or "/"
    match path:
        case health.LIVENESS:
            return _health({})
        case health.READINESS:
            return _health({"nats": await _broker_fault()})
        case health.METRICS:
            body, content_type = render()
            return Response(body, media_type=content_type)
    return await _answer_events(request, path)


async def _answer_events(request: Request, path: str) -> Response:
    started = time.perf_counter()
    call_id = call_id_from(request.headers)
    CALL_ID.set(call_id)
    try:
        if path not in EVENT_PATHS:
            raise Refusal(404, f"There is nothing at {path}: send events to /webhook/event.")
        if request.method != "POST":
            raise Refusal(405, f"{request.method} is not supported here: use POST.")
        response = await _take(request, call_id)
    except Refusal as refusal:
        response = _refuse(refusal)
    except ClientDisconnect:
        response = Response(status_code=400)
    except Exception:
        log.exception("request failed")
        response = _refuse(Refusal(500, f"Something unforeseen happened; call id {call_id}."))
    response.headers[CALL_ID_HEADER] = call_id
    metrics.REQUESTS.labels(response.status_code).inc()
    metrics.REQUEST_SECONDS.observe(time.perf_counter() - started)
    return response


async def _take(request: Request, call_id: str) -> Response:
    limits = settings()
    ndjson = is_ndjson(request.headers)
    sent = await read(request, limits.max_body_bytes)
    authenticate(request.headers, sent, limits)
    encoding = request.headers.get("content-encoding", "")
    body = decode(sent, encoding, limits.max_body_bytes)
    events = split(body, ndjson=ndjson, most=limits.max_events)
    broker = publisher()
    largest = await broker.ready()
    checked = check(events, largest)
    await broker.publish(checked.valid, checked.rejected, call_id)
    _count(checked)
    if checked.rejected:
        log.info(
            "events rejected",
            extra={"accepted": checked.accepted, "rejected": len(checked.rejected)},
        )
    answer = {
        "accepted": checked.accepted,
        "rejected": [_describe(each) for each in checked.rejected],
    }
    if checked.accepted:
        return Response(orjson.dumps(answer), 202, media_type=health.JSON)
    detail = "None of the events is valid; 'rejected' says what is wrong with each."
    return _problem(422, detail if events else "The array of events is empty.", **answer)


def _describe(rejected: Rejected) -> dict[str, object]:
    return {"index": rejected.index, "eventId": rejected.event_id, "errors": rejected.errors}


def _count(checked: Checked) -> None:
    for source, events in checked.valid.items():
        metrics.ACCEPTED.labels(source).inc(len(events))
    for each in checked.rejected:
        metrics.REJECTED.labels(each.source).inc()


async def _broker_fault() -> str | None:
    try:
        await publisher().ready()
    except Refusal as refusal:
        return refusal.detail
    return None


def _health(checks: dict[str, str | None]) -> Response:
    status, body = health.report(checks)
    return Response(body, status, media_type=health.JSON)


def _refuse(refusal: Refusal) -> Response:
    response = _problem(refusal.status, refusal.detail)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 405:
        response.headers["Allow"] = "POST"
    return response


def _problem(status: int, detail: str, **extensions: Any) -> Response:
    body = orjson.dumps(problem(status, detail, **extensions))
    return Response(body, status, media_type=PROBLEM_JSON)
