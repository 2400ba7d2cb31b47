"""`/function/NAME[/path]`: proxies requests to replicas. The hot path.

Nothing is decoded or re-encoded: path and query are forwarded byte for byte, header fields keep
their order and repetitions. A request's body is received before a replica is picked (bodies.py);
larger ones than BODY_BUFFER_BYTES stream, a few at a time, and so do responses. Hop-by-hop fields
are dropped; the call id and the fields of OpenFaaS's gateway are added. A request takes 2.8 times
as long as one sent to the replica directly (p50 0.41 ms and 0.15 ms, tests/bench/bench_proxy.py on
2 busy cores); why the client is not aiohttp's is in upstream.py.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable

from aiohttp import web

from functions.common.correlation import CALL_ID_HEADER, new_call_id
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
from infra.local.gateway.bodies import RequestBodies, RequestBody
from infra.local.gateway.http_io import problem_response
from infra.local.gateway.operations import is_operation
from infra.local.gateway.refusals import Refusals
from infra.local.gateway.upstream import Connection

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REPLACED = frozenset({b"host", b"expect", b"x-start-time"})
_REPLACED_AND_LOGIN = _REPLACED | {b"authorization"}
_REPLACED_IN_RESPONSE = frozenset({b"x-start-time", b"x-duration-seconds"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_CONNECT_ATTEMPTS = 6
MAX_REPETITIONS = 2
_PREFIX = "/function/"
_CLIENT_GONE = 499  # nginx's code for it, in metrics only


class _Relayed(web.StreamResponse):
    """A response whose bytes have been written to the client already."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._keep_alive = keep_alive
        self._eof_sent = True

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: everything has been written."""


class _Call:
    """A request that is sent to one replica after the other until one accepts it."""

    __slots__ = ("body", "call_id", "chunked", "head", "request", "rest", "started")

    def __init__(
        self,
        request: web.BaseRequest,
        target: str,
        body: bytes,
        rest: RequestBody | None,
        dropped: frozenset[bytes],
    ) -> None:
        """Prepare the request to the replica.

        Args:
            request: the client's request.
            target: path and query for the function.
            body: the body, or its beginning.
            rest: what comes after it; None: nothing does.
            dropped: header fields that the function does not get, in lower case.
        """
        self.request = request
        self.started = time.time_ns()
        self.call_id = b""
        self.head = self._request_head(target, dropped)
        self.rest = rest
        if self.chunked:
            body = _chunk(body) + (b"" if rest else b"0\r\n\r\n")
        self.body = body

    def _request_head(self, target: str, replaced: frozenset[bytes]) -> bytes:
        request = self.request
        parts = [f"{request.method} {target} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")]
        fields = request.raw_headers
        dropped, self.chunked = _hop_by_hop(fields)
        dropped |= replaced
        seen: set[bytes] = set()
        for name, value in fields:
            lower = name.lower()
            if lower in dropped:
                continue
            seen.add(lower)
            if lower == b"x-call-id":
                self.call_id = value
            parts.append(b"%s: %s\r\n" % (name, value))
        if not self.call_id:
            self.call_id = new_call_id().encode()
            parts.append(b"X-Call-Id: %s\r\n" % self.call_id)
        if self.chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        host = request.headers.get("Host")
        if host and b"x-forwarded-host" not in seen:
            parts.append(b"X-Forwarded-Host: %s\r\n" % host.encode("utf-8", "surrogateescape"))
        if request.remote and b"x-forwarded-for" not in seen:
            parts.append(b"X-Forwarded-For: %s\r\n" % request.remote.encode())
        parts.append(b"X-Start-Time: %d\r\n" % self.started)
        return b"".join(parts)

    def send(self, connection: Connection, address: str) -> "asyncio.Task[None] | None":
        """Write the request; return the task that streams the rest of its body, if any."""
        connection.begin(self.request.method)
        connection.write(b"%sHost: %s\r\n\r\n%s" % (self.head, address.encode(), self.body))
        if self.rest is None:
            return None
        return asyncio.create_task(self._stream_body(connection, self.rest))

    async def _stream_body(self, connection: Connection, rest: RequestBody) -> None:
        try:
            await connection.drain()
            while chunk := await rest.read():
                connection.write(_chunk(chunk) if self.chunked else chunk)
                await connection.drain()
            if self.chunked:
                connection.write(b"0\r\n\r\n")
        except UpstreamError:
            pass  # waiting for the response raises it
        except GatewayRefusalError as error:
            connection.fail(error)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.rest is None and not self.body and self.request.method in _SAFE_METHODS


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


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

    async def invoke(self, request: web.BaseRequest) -> web.StreamResponse:
        """Any method on /function/NAME[/path][?query].

        Raises:
            GatewayRefusalError: it is refused before a function sees it.
        """
        name, target = split_target(request.raw_path)
        function = self._registry.find(name)
        if function is None:
            return problem_response(404, f"function {name} is not deployed")
        if is_operation(function.version, target):
            self._login.require(request)
        # the gateway's login is none of the function's business
        dropped = _REPLACED_AND_LOGIN if self._login.is_given(request) else _REPLACED
        content = request.content
        if content.is_eof():
            call = _Call(request, target, content.read_nowait(), None, dropped)
            return await self._counted(function, call)
        body = RequestBody(self._bodies, request)
        try:
            if (request.content_length or 0) <= self._buffer_bytes:
                await body.fill(self._buffer_bytes)
            rest = None if body.complete else body
            call = _Call(request, target, body.data, rest, dropped)
            if rest is None:
                return await self._counted(function, call)
            async with self._stream_slot(function):
                return await self._counted(function, call)
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

    async def _counted(self, function: Function, call: _Call) -> web.StreamResponse:
        started = time.monotonic()
        invocations = function.invocations
        invocations.begin()
        status = _CLIENT_GONE
        try:
            response = await self._call(function, call)
            status = response.status
            return response
        except GatewayRefusalError as error:
            status = error.status
            raise
        finally:
            function.last_active = now = time.monotonic()
            invocations.end(status, now - started)

    async def _call(self, function: Function, call: _Call) -> web.StreamResponse:
        try:
            return await self._attempts(function, call)
        except NoReplicaError as error:
            retry_after = str(max(1, round(error.retry_after)))
            return _problem(call, error.status, str(error), {"Retry-After": retry_after})
        except ConnectFailedError as error:
            return _problem(call, 503, f"function {function.name}: {error}", {"Retry-After": "1"})
        except TimeoutError:
            detail = f"function {function.name} did not respond within {self._timeout:g} s"
            return _problem(call, 504, detail)
        except UpstreamError as error:
            return _problem(call, 502, f"function {function.name}: {error}")

    async def _attempts(self, function: Function, call: _Call) -> web.StreamResponse:
        """Send the request to a replica; to another one where the first did not receive it."""
        for attempt in range(MAX_CONNECT_ATTEMPTS):
            replica = function.pick() or await function.wait_and_pick()
            try:
                return await self._exchange(replica, call)
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

    async def _exchange(self, replica: Replica, call: _Call) -> web.StreamResponse:
        upstream = replica.upstream
        assert upstream is not None
        connection = upstream.idle_connection() or await upstream.connect()
        sender = call.send(connection, replica.address)
        timeout = connection.set_timeout(self._timeout)
        try:
            await connection.head
            timeout.cancel()
            return await self._relay(connection, call)
        finally:
            timeout.cancel()
            if sender is not None and not sender.done():
                sender.cancel()
                connection.abort()
            upstream.release(connection)

    async def _relay(self, connection: Connection, call: _Call) -> web.StreamResponse:
        """Write the replica's response to the client as it is received.

        Once it has begun, an error can only be reported by closing the connection.
        """
        pending, chunked, keep_alive = _response_head(connection, call)
        response = _Relayed(connection.status, keep_alive=keep_alive)
        writer = call.request.writer
        try:
            while True:
                if pending and not connection.has_data and not connection.complete:
                    await writer.write(pending)  # the head at once: the body may be slow
                    pending = b""
                data = await connection.read()
                if not data:
                    break
                await writer.write(pending + (_chunk(data) if chunked else data))
                pending = b""
            if chunked:
                pending += b"0\r\n\r\n"
            if pending:
                await writer.write(pending)
        except (UpstreamError, GatewayRefusalError) as error:
            if isinstance(error, GatewayRefusalError):
                self._refused.count(error.reason)
            _abort(call.request)
            response.force_close()
        except ConnectionError:  # the client has gone
            response.force_close()
        return response


def _response_head(connection: Connection, call: _Call) -> tuple[bytes, bool, bool]:
    """Return the client's head, whether its body is chunked, and whether to stay connected."""
    request = call.request
    http11 = request.version >= (1, 1)
    parts = [b"HTTP/1.1 %d %s\r\n" % (connection.status, connection.reason)]
    fields = connection.headers
    dropped = _hop_by_hop(fields)[0] | _REPLACED_IN_RESPONSE
    seen: set[bytes] = set()
    for name, value in fields:
        lower = name.lower()
        if lower not in dropped:
            seen.add(lower)
            parts.append(b"%s: %s\r\n" % (name, value))
    if b"x-call-id" not in seen:
        parts.append(b"X-Call-Id: %s\r\n" % call.call_id)
    seconds = (time.time_ns() - call.started) / 1e9
    parts.append(b"X-Start-Time: %d\r\nX-Duration-Seconds: %.6f\r\n" % (call.started, seconds))
    bodiless = request.method == "HEAD" or connection.status in {204, 304}
    unframed = not bodiless and b"content-length" not in seen
    keep_alive = request.keep_alive and (http11 or not unframed)
    if unframed and http11:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if not keep_alive:
        parts.append(b"Connection: close\r\n")
    elif not http11:
        parts.append(b"Connection: keep-alive\r\n")
    parts.append(b"\r\n")
    return b"".join(parts), unframed and http11, keep_alive


def _hop_by_hop(fields: Iterable[tuple[bytes, bytes]]) -> tuple[frozenset[bytes], bool]:
    """Return the names of fields that are for one hop only, and whether the body is chunked."""
    chunked, names = False, _HOP_BY_HOP
    for name, value in fields:
        if len(name) == 10 and name.lower() == b"connection":
            names |= {listed.strip().lower() for listed in value.split(b",")}
            names -= {b"content-length"}  # without it the body would be the next request
        elif len(name) == 17 and name.lower() == b"transfer-encoding":
            chunked = True
    return names, chunked


def _abort(request: web.BaseRequest) -> None:
    """Abort the client's connection, so that it does not take the response for complete."""
    if request.transport is not None:
        request.transport.abort()


def _problem(
    call: _Call, status: int, detail: str, headers: dict[str, str] | None = None
) -> web.Response:
    call_id = call.call_id.decode("utf-8", "replace")
    return problem_response(
        status, detail, {CALL_ID_HEADER: call_id, **(headers or {})}, callId=call_id
    )


def split_target(raw_path: str, prefix: str = _PREFIX) -> tuple[str, str]:
    """Return the function's name and path and query for it, both as received.

    `/function/echo/a%2Fb?x=1` is ("echo", "/a%2Fb?x=1"); `/function/echo?x=1` ("echo", "/?x=1").
    """
    rest = raw_path[raw_path.index(prefix) + len(prefix) :]
    end = len(rest)
    for mark in "/?":
        with contextlib.suppress(ValueError):
            end = min(end, rest.index(mark))
    name, target = rest[:end], rest[end:]
    return name, target if target.startswith("/") else "/" + target
