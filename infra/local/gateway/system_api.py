"""The way from a client's connection to the aiohttp application, which serves all but functions.

One port serves both. The application has no listener of its own: requests for it go through pairs
of connected sockets, in the same exchange as those to replicas.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from infra.local.errors import ConnectFailedError, GatewayRefusalError, UpstreamError
from infra.local.gateway.auth import Handler
from infra.local.gateway.http1.bodies import read_part
from infra.local.gateway.http1.client import ClientRequest
from infra.local.gateway.http1.exchange import HOP_BY_HOP, Call, exchange
from infra.local.gateway.http1.upstream import Connection, Upstream
from infra.local.gateway.http_io import problem_answer, refusal_answer, to_response
from infra.local.gateway.refusals import Refusals

_DROPPED = HOP_BY_HOP | {b"expect"}
_TIMEOUT = 900.0


class SystemApi(Upstream):
    """The aiohttp application as an upstream."""

    def __init__(self, server: Callable[[], asyncio.Protocol]) -> None:
        """Connect to an application.

        Args:
            server: makes its side of a connection.
        """
        super().__init__("", 0)
        self.host_field = b""  # requests have their own Host
        self._server = server

    async def connect(self) -> Connection:
        """Return a new connection."""
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        try:
            await loop.connect_accepted_socket(self._server, far)
            _, connection = await loop.create_unix_connection(lambda: Connection(loop), sock=near)
        except OSError as error:
            near.close()
            far.close()
            raise ConnectFailedError(f"no connection within the gateway: {error}") from error
        return connection

    async def serve(self, request: ClientRequest) -> None:
        """Have a request answered."""
        request.send_continue()
        content = request.content
        whole = content.is_eof()
        body = content.read_nowait() if whole else b""
        rest = None if whole else partial(read_part, content)
        call = Call(request, request.target, body, rest, _DROPPED, invocation=False)
        try:
            await exchange(call, self, _TIMEOUT)
        except (UpstreamError, TimeoutError) as error:
            request.keep_alive = False
            request.respond(problem_answer(502, f"the gateway gives no answer: {error}"))


def answer_refusals(refused: Refusals) -> Middleware:
    """Return the application's middleware that answers and counts requests that are refused."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except GatewayRefusalError as error:
            refused.count(error.reason)
            response = to_response(refusal_answer(request.path, error))
            if error.close:
                response.force_close()
                await response.prepare(request)
                await response.write_eof()
                # aiohttp would read on for a while, for what is left of the body
                request.protocol.force_close()
            return response

    return answer
