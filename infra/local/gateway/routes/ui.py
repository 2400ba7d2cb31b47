"""`/ui/`: the platform page, and the state that it shows."""

import mimetypes
import time
from pathlib import Path

from aiohttp import web

from functions.common.broker import EVENTS, EVENTS_DLQ
from functions.common.http import look
from infra.local.async_calls.queue import AsyncCallQueue
from infra.local.async_calls.worker import ASYNC_CALLS
from infra.local.functions.function import Function
from infra.local.functions.registry import Registry
from infra.local.gateway.routes.info import release

_FOLDER = Path(__file__).parents[1] / "ui"
_FILES = {**{file.name: file for file in _FOLDER.iterdir()}, **look.FILES}
_INDEX = "index.html"
_TITLES = {
    EVENTS: "Event backlog",
    EVENTS_DLQ: "Dead letters",
    ASYNC_CALLS: "Asynchronous calls",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class UiRoutes:
    """Handlers of the page."""

    def __init__(self, registry: Registry, calls: AsyncCallQueue | None) -> None:
        self._registry = registry
        self._calls = calls
        self._files = {
            name: (file.read_bytes(), mimetypes.guess_type(name)[0] or "text/plain")
            for name, file in _FILES.items()
        }

    async def redirect(self, _: web.Request) -> web.Response:
        """GET / redirects to the page."""
        return web.Response(status=307, headers={"Location": "/ui/"})

    async def file(self, request: web.Request) -> web.Response:
        """GET /ui/ and the files of the page."""
        found = self._files.get(request.match_info["file"] or _INDEX)
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found[0], content_type=found[1], charset="utf-8", headers=_HEADERS)

    async def state(self, _: web.Request) -> web.Response:
        """GET /ui/state."""
        sizes = await self._calls.stream_sizes() if self._calls is not None else {}
        return web.json_response(
            {
                "time": time.time(),
                "version": release(),
                "functions": [_function(function) for function in self._registry],
                "streams": [
                    {"stream": stream, "title": _TITLES[stream], "messages": messages}
                    for stream, messages in sizes.items()
                ],
                "events": [
                    {
                        "time": event.time.isoformat(),
                        "function": event.function,
                        "before": event.before,
                        "after": event.after,
                        "reason": event.reason,
                    }
                    for event in self._registry.events.last(20)
                ],
            },
            headers={"Cache-Control": "no-store"},
        )


def _function(function: Function) -> dict[str, object]:
    invocations = function.invocations
    completed = invocations.completed
    seconds = sum(counts.seconds for counts in invocations.by_code.values())
    return {
        "name": function.name,
        "image": function.version.deployment.image,
        "desired": function.desired_replicas,
        "available": function.available,
        "invocations": completed,
        "inFlight": invocations.in_flight,
        "waiting": function.waiting,
        "meanSeconds": seconds / completed if completed else None,
        "problem": function.last_error,
    }
