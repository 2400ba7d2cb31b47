"""`/function/NAME[/path]`: proxies requests to replicas. The hot path.

A request's body is received before a replica is picked (bodies.py); larger ones than
BODY_BUFFER_BYTES stream, a few at a time. What is sent on is in exchange.py; why neither side's
HTTP is aiohttp's, in client.py and upstream.py.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from functions.common.correlation import CALL_ID_HEADER
from functions.common.http.front_door import RawResponse
from infra.local.errors import (
    ConnectFailedError,
    ConnectionLostError,
    GatewayRefusalError,
    NoReplicaError,
    UpstreamError,
)
from infra.local.functions.function import Function
from infra.local.functions.registry import Registry
from infra.local.gateway import refusals
from infra.local.gateway.auth import Login
from infra.local.gateway.http1.bodies import RequestBodies, RequestBody
from infra.local.gateway.http1.client import ClientRequest
from infra.local.gateway.http1.exchange import Call, exchange
from infra.local.gateway.http_io import FUNCTION_PREFIX, problem_answer
from infra.local.gateway.operations import is_operation
from infra.local.gateway.refusals import Refusals

_REPLACED = frozenset({b"host", b"expect", b"x-start-time"})
_REPLACED_AND_LOGIN = _REPLACED | {b"authorization"}
MAX_CONNECT_ATTEMPTS = 6
MAX_REPETITIONS = 2
_CLIENT_GONE = 499  # nginx's code for it, in metrics only


class ProxyRoutes:
    """Handler of invocations."""

    def __init__(
        self, registry: Registry, login: Login, bodies: RequestBodies, refused: Refusals
    ) -> None:
        settings = registry.settings
        self._registry = registry
        self._login = login
        self._bodies = bodies
        self._refused = refused
        self._timeout = settings.upstream_timeout
        self._slot_timeout = settings.cold_start_timeout
        self._buffer_bytes = settings.body_buffer_bytes
        self._max_streamed = settings.max_streamed_bodies

    async def invoke(self, request: ClientRequest) -> None:
        """Any method on /function/NAME[/path][?query].

        Raises:
            GatewayRefusalError: it is refused before a function sees it.
        """
        name, target = split_target(request.target)
        function = self._registry.find(name)
        if function is None:
            request.respond(problem_answer(404, f"function {name} is not deployed"))
            return
        authorization = request.header(b"authorization")
        if is_operation(function.version, target):
            self._login.require(authorization)
        # the gateway's login is none of the function's business
        dropped = _REPLACED_AND_LOGIN if self._login.is_given(authorization) else _REPLACED
        content = request.content
        if content.is_eof():
            call = Call(request, target, content.read_nowait(), None, dropped, invocation=True)
            await self._counted(function, call)
            return
        request.send_continue()
        body = RequestBody(self._bodies, content)
        try:
            if request.content_length <= self._buffer_bytes:
                await body.fill(self._buffer_bytes)
            rest = None if body.complete else body.read
            call = Call(request, target, body.data, rest, dropped, invocation=True)
            if rest is None:
                await self._counted(function, call)
                return
            async with self._stream_slot(function):
                await self._counted(function, call)
        finally:
            body.release()

    @contextlib.asynccontextmanager
    async def _stream_slot(self, function: Function) -> AsyncGenerator[None]:
        """Wait for one of the few bodies that may stream to a function at the same time.

        Raises:
            GatewayRefusalError: none is free in time.
        """
        slots = function.stream_slots
        try:
            async with asyncio.timeout(self._slot_timeout):
                await slots.acquire()
        except TimeoutError:
            raise GatewayRefusalError(
                refusals.BUFFERS_FULL,
                503,
                f"function {function.name} receives {self._max_streamed} large bodies already",
                headers={"Retry-After": "5"},
                close=True,
            ) from None
        try:
            yield
        finally:
            slots.release()

    async def _counted(self, function: Function, call: Call) -> None:
        started = time.monotonic()
        invocations = function.invocations
        invocations.begin()
        status = _CLIENT_GONE
        try:
            status = await self._call(function, call)
            if isinstance(call.broken_off, GatewayRefusalError):
                self._refused.count(call.broken_off.reason)
        except GatewayRefusalError as error:
            status = error.status
            raise
        finally:
            function.last_active = now = time.monotonic()
            invocations.end(status, now - started)

    async def _call(self, function: Function, call: Call) -> int:
        """Have the request answered; return the status."""
        try:
            return await self._attempts(function, call)
        except NoReplicaError as error:
            retry_after = str(max(1, round(error.retry_after)))
            answer = _problem(call, error.status, str(error), {"Retry-After": retry_after})
        except ConnectFailedError as error:
            answer = _problem(call, 503, f"function {function.name}: {error}", {"Retry-After": "1"})
        except TimeoutError:
            detail = f"function {function.name} did not respond within {self._timeout:g} s"
            answer = _problem(call, 504, detail)
        except UpstreamError as error:
            answer = _problem(call, 502, f"function {function.name}: {error}")
        call.request.respond(answer)
        return answer.status

    async def _attempts(self, function: Function, call: Call) -> int:
        """Send the request to a replica; to another one where the first did not receive it."""
        for attempt in range(MAX_CONNECT_ATTEMPTS):
            replica = function.pick() or await function.wait_and_pick()
            try:
                assert replica.upstream is not None
                return await exchange(call, replica.upstream, self._timeout)
            except ConnectFailedError:
                if attempt == MAX_CONNECT_ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.02 * 2**attempt)  # its exit will be noticed shortly
            except ConnectionLostError:
                if attempt >= MAX_REPETITIONS or not call.repeatable:
                    raise
                # a process that is exiting may still accept a connection and reset it
                await asyncio.sleep(0.05 * 2**attempt)
            finally:
                replica.release()
        raise AssertionError("unreachable")


def _problem(
    call: Call, status: int, detail: str, headers: dict[str, str] | None = None
) -> RawResponse:
    call_id = call.call_id.decode("utf-8", "replace")
    return problem_answer(
        status, detail, {CALL_ID_HEADER: call_id, **(headers or {})}, callId=call_id
    )


def split_target(raw_path: str, prefix: str = FUNCTION_PREFIX) -> tuple[str, str]:
    """Return the function's name and path and query for it, both as received.

    `/function/echo/a%2Fb?x=1` is ("echo", "/a%2Fb?x=1"); `/function/echo?x=1` ("echo", "/?x=1").
    """
    start = raw_path.index(prefix) + len(prefix)
    slash, query = raw_path.find("/", start), raw_path.find("?", start)
    end = min(slash, query) if slash >= 0 and query >= 0 else max(slash, query)
    if end < 0:
        return raw_path[start:], "/"
    target = raw_path[end:]
    return raw_path[start:end], target if end == slash else "/" + target
