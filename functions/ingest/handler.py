"""The function `ingest`: `POST /webhook/event` takes one event, an array of events, or NDJSON.

`/api` is its reference.
"""

import gc
import logging
from functools import cache
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request as FrameworkRequest

from functions.common import health, logs
from functions.common.correlation import CALL_ID
from functions.common.errors import RequestRefusedError
from functions.common.events import SOURCES
from functions.common.health import Checks
from functions.common.http import asgi
from functions.common.http.asgi import Request
from functions.common.http.body import ValueCounter, decode_body
from functions.common.http.front_door import FrontDoor, RawResponse, Route

from . import metrics
from .api import routes as api
from .body import is_ndjson, is_short_object, iter_events
from .credentials import check_api_key, check_settings
from .pace import Pace
from .publisher import Publisher
from .settings import settings
from .validation import (
    FOREIGN,
    MAX_DETAILED,
    EventValidator,
    ValidatedEvents,
    validate,
)
from .webhooks import configuration
from .webhooks.webhook import Webhook

# A request leaves no cycles behind, and the modules stay: collecting at every 700th object, and
# looking at all modules each time, took a tenth of a request's time.
gc.freeze()
gc.set_threshold(10_000, 20, 20)

logs.configure("ingest")
logger = logging.getLogger(__name__)
check_settings(settings())


_PLAIN_TEXT = "text/plain; charset=utf-8"
_accepted = {source: metrics.ACCEPTED.labels(source) for source in SOURCES}


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


async def take_events(request: Request) -> RawResponse:
    """Take events of any source from a caller with the API key.

    Raises:
        RequestRefusedError: 401, or as `accept`.
    """
    check_api_key(request.headers, settings())
    return await accept(request, await request.body(settings().max_body_bytes))


def take_webhook(webhook: Webhook) -> asgi.Handler:
    """Return the handler of a webhook: events of its sources from who can sign them."""

    async def take(request: Request) -> RawResponse:
        if request.method == "GET":
            challenge = webhook.answer_challenge(QueryParams(request.query))
            return RawResponse(200, challenge.encode(), _PLAIN_TEXT)
        signature = webhook.read_signature(request.headers)
        sent = await request.body(settings().max_body_bytes)
        webhook.check(signature, sent)
        return await accept(request, sent, webhook)

    return take


async def accept(request: Request, sent: bytes, webhook: Webhook | None = None) -> RawResponse:
    """Publish the events of a request whose sender is known, and return the response.

    Args:
        request: its headers say how to read the body.
        sent: its body as it was sent.
        webhook: where it arrived; None: events of any source are allowed.

    Raises:
        RequestRefusedError: the request cannot be read, or the broker does not take its events.
    """
    limits = settings()
    ndjson = is_ndjson(request.headers)
    pace = Pace()
    encoding = request.headers.get("content-encoding", "")
    values = ValueCounter(limits.max_body_values)
    body = decode_body(sent, encoding, limits.max_body_bytes, values)
    max_payload = await publisher().ready()
    validator = EventValidator(limits, max_payload, webhook, ndjson=ndjson)
    if ndjson or not is_short_object(body) or not validator.take(body):
        events = iter_events(
            body,
            ndjson=ndjson,
            max_events=limits.max_events,
            max_event_bytes=limits.max_event_bytes,
        )
        async with pace:
            await validate(events, validator, pace)
    validated = validator.found
    await publisher().publish(validated.valid, validated.dead_letters, CALL_ID.get())
    _count(validated)
    if validated.rejected:
        logger.info(
            "events rejected",
            extra={"accepted": validated.accepted, "rejected": len(validated.rejected)},
        )
    result = _result(validated)
    if result["accepted"]:
        return RawResponse(202, orjson.dumps(result), health.JSON)
    raise RequestRefusedError(422, _why_nothing_is_accepted(validated, webhook), **result)


def _why_nothing_is_accepted(validated: ValidatedEvents, webhook: Webhook | None) -> str:
    if not validated.rejected:
        return "The array of events is empty."
    [first, *others] = validated.rejected
    if webhook and not others and first.raw and webhook.is_native(first.raw):
        return webhook.native_body
    return "None of the events is valid; 'rejected' says what is wrong with each."


def _result(validated: ValidatedEvents) -> dict[str, Any]:
    """Say what became of each event: the first hundred rejected ones in detail."""
    rejected = [
        {"index": each.index, "eventId": each.event_id, "errors": each.errors}
        for each in validated.rejected[:MAX_DETAILED]
    ]
    result: dict[str, Any] = {"accepted": validated.accepted, "rejected": rejected}
    if rejected:
        result["rejectedCount"] = len(validated.rejected)
    return result


def _count(validated: ValidatedEvents) -> None:
    for source, events in validated.valid.items():
        _accepted[source].inc(len(events))
    for each in validated.rejected:
        if each.kind == FOREIGN:
            metrics.FOREIGN.inc()
        else:
            metrics.REJECTED.labels(each.source, each.kind).inc()


WEBHOOKS = configuration.load(settings().webhooks)
"""Read at the start: a secret that cannot be used ends the process."""

ROUTES: dict[str, Route[asgi.Handler]] = {
    path: Route(methods, handler)
    for path, methods, handler in (
        ("/", ("POST",), take_events),
        ("/webhook/event", ("POST",), take_events),
        *((each.path, each.methods, take_webhook(each)) for each in WEBHOOKS),
    )
} | api.ROUTES
FRONT_DOOR = FrontDoor(
    metrics.REQUESTS,
    metrics.REQUEST_SECONDS,
    metrics.OVER_LIMIT,
    refused=metrics.CREDENTIALS_REFUSED,
    routes=ROUTES,
    find_route=lambda path: path.rstrip("/") or "/",
    hint="Send events to /webhook/event; /api has the reference.",
)
application = asgi.serve(FRONT_DOOR, check_broker)


async def handle(_: FrameworkRequest) -> asgi.Application:
    """Return what responds to the request: the framework calls it as it does a response."""
    return application


def middleware(_: asgi.Application) -> asgi.Application:
    """Return what the template's entry file serves: nothing here needs a framework."""
    return application
