"""`/function/NAME[/path]`: proxies requests to replicas. The hot path.

A request's body is received before a replica is picked (bodies.py); larger ones than
BODY_BUFFER_BYTES stream, a few at a time. What is sent on is in exchange.py; why neither side's
HTTP is aiohttp's, in client.py and upstream.py.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

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
from infra.local.functions.replica import Replica
from infra.local.gateway import refusals
from infra.local.gateway.auth import Login
from infra.local.gateway.http1.bodies import RequestBodies, RequestBody
from infra.local.gateway.http1.client import ClientRequest
from infra.local.gateway.http1.exchange import HOP_BY_HOP, Call, exchange, pass_on, whole_response
from infra.local.gateway.http1.upstream import Connection
from infra.local.gateway.http_io import FUNCTION_PREFIX, problem_answer
from infra.local.gateway.operations import is_operation
from infra.local.gateway.refusals import Refusals

_REPLACED = HOP_BY_HOP | {b"host", b"expect", b"x-start-time"}
_REPLACED_AND_LOGIN = _REPLACED | {b"authorization"}
Guard = Callable[[ClientRequest, Awaitable[None]], Awaitable[None]]
"""Awaits what serves a request, and answers where that is refused."""
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

    def begin(self, request: ClientRequest, guard: Guard) -> "Invocation | None":
        """Send what waits for nothing: its body, a replica and a connection to it are there.

        Args:
            request: of the client.
            guard: serves the rest of it, where that takes a task.

        Returns:
            None: nothing is done; `invoke` serves the request.
        """
        name, target = split_target(request.target)
        function = self._registry.find(name)
        content = request.content
        if function is None or not content.is_eof() or is_operation(function.version, target):
            return None
        replica = function.next_replica()
        if replica is None:
            return None
        assert replica.upstream is not None
        connection = replica.upstream.idle_connection()
        if connection is None:
            return None  # `invoke` connects to it
        function.take(replica)
        dropped = self._dropped(request)
        call = Call(request, target, content.read_nowait(), None, dropped, invocation=True)
        invocation = Invocation(self, function, call, replica, connection, guard)
        connection.begin(request.method, self._timeout, invocation.go_on)
        call.write(connection, replica.upstream.host_field)
        return invocation

    async def finish(self, begun: "Invocation") -> None:
        """Go on with what was begun.

        Raises:
            GatewayRefusalError: as `invoke`.
        """
        begun.taken = True
        await self._counted(begun.function, begun.call, begun)

    def _dropped(self, request: ClientRequest) -> frozenset[bytes]:
        """Return the fields that are not passed on."""
        # the gateway's login is none of the function's business
        if b"authorization" not in request.first:
            return _REPLACED
        given = self._login.is_given(request.header(b"authorization"))
        return _REPLACED_AND_LOGIN if given else _REPLACED

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
        if is_operation(function.version, target):
            self._login.require(request.header(b"authorization"))
        dropped = self._dropped(request)
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

    async def _counted(
        self, function: Function, call: Call, begun: "Invocation | None" = None
    ) -> None:
        started = begun.started if begun else function.invocations.begin()
        status = _CLIENT_GONE
        try:
            status = await self._call(function, call, begun)
            if isinstance(call.broken_off, GatewayRefusalError):
                self._refused.count(call.broken_off.reason)
        except GatewayRefusalError as error:
            status = error.status
            raise
        finally:
            function.count(started, status)

    async def _call(self, function: Function, call: Call, begun: "Invocation | None") -> int:
        """Have the request answered; return the status."""
        try:
            return await self._attempts(function, call, begun)
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

    async def _attempts(self, function: Function, call: Call, begun: "Invocation | None") -> int:
        """Send the request to a replica; to another one where the first did not receive it."""
        for attempt in range(MAX_CONNECT_ATTEMPTS):
            sent = begun if attempt == 0 else None
            replica = sent.replica if sent else function.pick() or await function.wait_and_pick()
            try:
                assert replica.upstream is not None
                if sent:
                    return await pass_on(call, replica.upstream, sent.connection)
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


class Invocation:
    """An invocation whose request was sent, and for whose response no task waits.

    Nearly all come whole, and are passed on at once; where one does not, a task goes on. A task for
    each would be a fifth of what an invocation costs.

    Attributes:
        taken: whether a task has gone on.
    """

    __slots__ = (
        "_guard", "_proxy", "call", "connection", "function", "replica", "started", "taken",
    )  # fmt: skip

    def __init__(
        self,
        proxy: ProxyRoutes,
        function: Function,
        call: Call,
        replica: Replica,
        connection: Connection,
        guard: Guard,
    ) -> None:
        self._proxy, self._guard = proxy, guard
        self.function, self.call = function, call
        self.replica, self.connection = replica, connection
        self.taken = False
        self.started = function.invocations.begin()

    def go_on(self) -> None:
        """Pass on the response that has come; called when none will, too."""
        request = self.call.request
        response = whole_response(self.connection, self.call)
        if response is None:
            finishing = self._guard(request, self._proxy.finish(self))
            request.client.go_on(request, finishing).add_done_callback(self._end_unless_taken)
        else:
            request.client.write(response)
            self._end(self.connection.status)
            request.client.end(request)

    def cancel(self) -> None:
        """End it: the client has gone."""
        self.connection.forget()
        self._end(_CLIENT_GONE)

    def _end_unless_taken(self, _: object) -> None:
        if not self.taken:  # the task was cancelled before it began
            self._end(_CLIENT_GONE)

    def _end(self, status: int) -> None:
        assert self.replica.upstream is not None
        self.replica.upstream.release(self.connection)
        self.replica.release()
        self.function.count(self.started, status)


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
