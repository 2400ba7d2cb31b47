"""A reverse proxy that writes down what a client asks and what it is answered."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

_OF_A_CONNECTION = frozenset(
    {"connection", "content-length", "content-encoding", "transfer-encoding", "host"}
)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        when: what was going on.
        method: of the request.
        path: of the request, with its query.
        headers: of the request.
        body: of the request.
        status: of the answer.
        content_type: of the answer; empty where it has none.
        answer: its body.
    """

    when: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    content_type: str
    answer: bytes


class RecordingProxy:
    """Passes requests on, whole, and keeps them in order."""

    def __init__(self, upstream: str, what_goes_on: Callable[[], str]) -> None:
        self._upstream = upstream
        self._what_goes_on = what_goes_on
        self.url = ""
        self.exchanges: list[Exchange] = []

    async def pass_on(self, request: web.Request) -> web.Response:
        """Ask the upstream the same, and answer as it does."""
        when = self._what_goes_on()
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _OF_A_CONNECTION}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as client,
            client.request(
                request.method,
                self._upstream + request.raw_path,
                headers=headers,
                data=body or None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
            ) as answer,
        ):
            text = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            self.exchanges.append(
                Exchange(
                    when,
                    request.method,
                    request.raw_path,
                    dict(request.headers),
                    body,
                    answer.status,
                    kind.partition(";")[0],
                    text,
                )
            )
            given = {k: v for k, v in answer.headers.items() if k.lower() not in _OF_A_CONNECTION}
            return web.Response(status=answer.status, body=text, headers=given)


@asynccontextmanager
async def recording(
    upstream: str, what_goes_on: Callable[[], str]
) -> AsyncIterator[RecordingProxy]:
    """Run one in front of an address until the block ends.

    Args:
        upstream: the address, without a slash at its end.
        what_goes_on: asked at each request.
    """
    proxy = RecordingProxy(upstream, what_goes_on)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", proxy.pass_on)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [address] = runner.addresses
    proxy.url = f"http://127.0.0.1:{address[1]}"
    try:
        yield proxy
    finally:
        await runner.cleanup()
