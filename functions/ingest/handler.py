"""The function `ingest`: `POST /webhook/event` takes one event, an array of events, or NDJSON.

`/api` is its reference.
"""

import logging
from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response

from functions.common import health, logs
from functions.common.correlation import CALL_ID
from functions.common.errors import RequestRefusedError
from functions.common.http import asgi
from functions.common.http.body import decode_body
from functions.common.http.front_door import Checks, FrontDoor, Route

from . import metrics
from .api import routes as api
from .body import is_ndjson, read_body, split_events
from .credentials import authenticate
from .publisher import Publisher
from .settings import settings
from .validation import RejectedEvent, ValidatedEvents, validate

logs.configure("ingest")
logger = logging.getLogger(__name__)


@cache
def publisher() -> Publisher:
    """Return this process's publisher."""
    return Publisher(settings())


async def check_broker() -> Checks:
    """Return what is wrong with the broker."""
    try:
        await publisher().ready()
    except RequestRefusedError as error:
        return {"nats": error.detail}
    return {"nats": None}


async def take_events(request: Request) -> Response:
    """Publish the events of one request, and return the response.

    Raises:
        RequestRefusedError: the request cannot be read, or the broker does not take its events.
    """
    limits = settings()
    ndjson = is_ndjson(request.headers)
    sent = await read_body(request, limits.max_body_bytes)
    authenticate(request.headers, sent, limits)
    encoding = request.headers.get("content-encoding", "")
    body = decode_body(sent, encoding, limits.max_body_bytes)
    events = split_events(body, ndjson=ndjson, max_events=limits.max_events)
    broker = publisher()
    max_event_bytes = await broker.ready()
    validated = validate(events, max_event_bytes)
    await broker.publish(validated.valid, validated.rejected, CALL_ID.get())
    _count(validated)
    if validated.rejected:
        logger.info(
            "events rejected",
            extra={"accepted": validated.accepted, "rejected": len(validated.rejected)},
        )
    accepted = validated.accepted
    rejected = [_describe(each) for each in validated.rejected]
    if accepted:
        body = orjson.dumps({"accepted": accepted, "rejected": rejected})
        return Response(body, 202, media_type=health.JSON)
    detail = "None of the events is valid; 'rejected' says what is wrong with each."
    raise RequestRefusedError(
        422,
        detail if events else "The array of events is empty.",
        accepted=accepted,
        rejected=rejected,
    )


def _describe(rejected: RejectedEvent) -> dict[str, object]:
    return {"index": rejected.index, "eventId": rejected.event_id, "errors": rejected.errors}


def _count(validated: ValidatedEvents) -> None:
    for source, events in validated.valid.items():
        metrics.ACCEPTED.labels(source).inc(len(events))
    for each in validated.rejected:
        metrics.REJECTED.labels(each.source).inc()


ROUTES: dict[str, Route[asgi.Handler]] = {
    "/": Route(("POST",), take_events),
    "/webhook/event": Route(("POST",), take_events),
    **api.ROUTES,
}
FRONT_DOOR = FrontDoor(
    metrics.REQUESTS,
    metrics.REQUEST_SECONDS,
    routes=ROUTES,
    find_route=lambda path: path.rstrip("/") or "/",
    hint="Send events to /webhook/event; /api has the reference.",
)
handle = asgi.serve(FRONT_DOOR, check_broker)
