"""The HTTP handler: validates events and publishes each with an acknowledgement of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import orjson
import uvicorn
from nats.js import JetStreamContext
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.usual.events import EVENT


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    nc = await nats.connect(os.environ["NATS_URL"])
    app.state.js = nc.jetstream(timeout=60)
    yield
    await nc.drain()


def _json(content: object, status: int) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


async def webhook(request: Request) -> Response:
    """POST /webhook/event: one event or an array; 202 once the broker has acknowledged all."""
    js: JetStreamContext = request.app.state.js
    content = orjson.loads(await request.body())
    events = content if isinstance(content, list) else [content]
    try:
        for event in events:
            EVENT.validate_python(event)
    except ValidationError as error:
        return _json({"error": error.errors(include_url=False)}, 422)
    await asyncio.gather(
        *(js.publish(f"events.{event['source']}", orjson.dumps(event)) for event in events)
    )
    return _json({"accepted": len(events)}, 202)


app = Starlette(routes=[Route("/webhook/event", webhook, methods=["POST"])], lifespan=_lifespan)

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
