"""The function `ingest`: `POST /webhook/event` takes one event, an array of events, or NDJSON.

`/api` is its reference.
"""

import gc
import logging
from collections.abc import Callable, Mapping
from functools import cache, partial
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
from functions.common.http.asgi import FirstHeaders, Request
from functions.common.http.body import ValueCounter, decode_body
from functions.common.http.front_door import Exchange, FrontDoor, RawResponse, Route
from functions.common.limits import AgeLimit

from . import metrics
from .api import routes as api
from .body import is_ndjson, is_short_object, iter_events
from .credentials import check_api_key, check_settings, has_api_key
from .pace import Pace
from .publisher import Publisher
from .settings import settings
from .validation import (
    FOREIGN,
    MAX_DETAILED,
    EventValidator,
    ValidatedEvents,
    accepted_source,
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
_ONE_ACCEPTED = RawResponse(202, b'{"accepted":1,"rejected":[]}', health.JSON)
_ONE_ACCEPTED_LINES = asgi.header_lines(_ONE_ACCEPTED, "%b").encode()
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


def take_short(route: str) -> Callable[[Mapping[bytes, bytes], bytes, asgi.Respond], bool]:
    """Return what takes requests of one valid event below ASGI, as most are, and tells of others.

    They cost half of what `accept` takes for them, and get the same response.

    Args:
        route: what they are counted as.
    """
    limits, publish = settings(), publisher()
    age = AgeLimit(limits)

    def take(first: Mapping[bytes, bytes], body: bytes, respond: asgi.Respond) -> bool:
        if (
            first.get(b"content-type") != b"application/json"
            or b"content-encoding" in first
            or len(body) > min(limits.max_body_bytes, limits.max_body_values)
            or not is_short_object(body)
            or (room := publish.room()) is None
        ):
            return False
        headers = FirstHeaders(first)
        if not has_api_key(headers, limits):
            return False
        exchange = Exchange(FRONT_DOOR, "POST", route, headers)
        source = accepted_source(body, min(room, limits.max_event_bytes), age)
        if source:
            publish.publish_soon(
                source, body, exchange.call_id, partial(_end, exchange, source, respond)
            )
        CALL_ID.set("")  # this is the connection's context, not the request's
        return source is not None

    return take


def _end(
    exchange: Exchange[asgi.Handler], source: str, respond: asgi.Respond, error: Exception | None
) -> None:
    """Respond to a request of one event, of which `error` tells what became."""
    CALL_ID.set(exchange.call_id)
    if error:
        response = exchange.failed(error)
        exchange.record(response.status)
        asgi.write_short(respond, response, exchange.call_id)
    else:
        _accepted[source].inc()
        exchange.record(202)
        respond(202, _ONE_ACCEPTED_LINES % exchange.call_id.encode(), _ONE_ACCEPTED.body)


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
shortcuts = {route.encode(): take_short(route) for route in ("/", "/webhook/event")}
"""By path, what the template's entry file asks first about short POST requests."""


async def handle(_: FrameworkRequest) -> asgi.Application:
    """Return what responds to the request: the framework calls it as it does a response."""
    return application


def middleware(_: asgi.Application) -> asgi.Application:
    """Return what the template's entry file serves: nothing here needs a framework."""
    return application
