"""One request passed on to an upstream, and its response passed back, byte for byte.

Nothing is decoded or re-encoded: path and query are forwarded as they are, header fields keep their
order and repetitions. Hop-by-hop fields are dropped. Bodies and responses stream.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from functions.common.correlation import new_call_id
from infra.local.errors import GatewayRefusalError, UpstreamError
from infra.local.gateway.http1.client import ClientRequest
from infra.local.gateway.http1.fields import Fields
from infra.local.gateway.http1.upstream import Connection, Upstream

HOP_BY_HOP = frozenset(
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
_DROPPED_IN_RESPONSE = HOP_BY_HOP | {b"x-start-time", b"x-duration-seconds"}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

ReadPart = Callable[[], Awaitable[bytes]]
"""Returns the next part of a body; empty at its end. Raises GatewayRefusalError."""


class Call:
    """A request that is sent to one upstream after the other until one accepts it.

    Attributes:
        request: the client's.
        body: its body, or the beginning.
        rest: reads what comes after it; None: nothing does.
        call_id: the correlation id; empty where the request has none and needs none.
        started: when it was begun, in nanoseconds since the epoch.
        invocation: whether it is for a function: then it gets the fields of OpenFaaS's gateway.
        broken_off: why the response, or the request's body meanwhile, broke off.
    """

    __slots__ = (
        "_chunked", "_head", "body", "broken_off", "call_id", "invocation", "request", "rest",
        "started",
    )  # fmt: skip

    def __init__(
        self,
        request: ClientRequest,
        target: str,
        body: bytes,
        rest: ReadPart | None,
        dropped: frozenset[bytes],
        *,
        invocation: bool,
    ) -> None:
        """Prepare the request to the upstream.

        Args:
            request: the client's request.
            target: path and query for the upstream.
            body: the body, or its beginning.
            rest: reads what comes after it; None: nothing does.
            dropped: header fields that are not passed on, in lower case, `HOP_BY_HOP` among them.
            invocation: whether it is for a function.
        """
        self.request, self.rest, self.invocation = request, rest, invocation
        self.started = time.time_ns()
        self.broken_off: Exception | None = None
        first = request.first
        self._chunked = b"transfer-encoding" in first
        if b"connection" in first:
            dropped |= _listed(request.fields)
        parts = [f"{request.method} {target} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")]
        if request.lines and first.keys() & dropped == _ONLY_HOST:
            parts.append(_without_host(request.lines))
        else:
            parts += [
                b"%s: %s\r\n" % (name, value)
                for lower, name, value in request.fields
                if lower not in dropped
            ]
        if self._chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
            body = _chunk(body) + (b"" if rest else b"0\r\n\r\n")
        self.body = body
        if b"x-forwarded-for" not in first or b"x-forwarded-for" in dropped:
            parts.append(request.client.forwarded_for)
        self.call_id = b"" if b"x-call-id" in dropped else first.get(b"x-call-id", b"")
        if invocation:
            if not self.call_id:
                self.call_id = new_call_id().encode()
                parts.append(b"X-Call-Id: %s\r\n" % self.call_id)
            host = first.get(b"host")
            if host and (b"x-forwarded-host" not in first or b"x-forwarded-host" in dropped):
                parts.append(b"X-Forwarded-Host: %s\r\n" % host)
            parts.append(b"X-Start-Time: %d\r\n" % self.started)
        self._head = b"".join(parts)

    def send(
        self, connection: Connection, host_field: bytes, max_seconds: float
    ) -> "asyncio.Task[None] | None":
        """Write the request; return the task that streams the rest of its body, if any."""
        connection.begin(self.request.method, max_seconds)
        self.write(connection, host_field)
        if self.rest is None:
            return None
        return asyncio.create_task(self._stream_body(connection, self.rest))

    def write(self, connection: Connection, host_field: bytes) -> None:
        """Write the request, or the beginning of it."""
        connection.write(b"%s%s\r\n%s" % (self._head, host_field, self.body))

    async def _stream_body(self, connection: Connection, rest: ReadPart) -> None:
        try:
            await connection.drain()
            while part := await rest():
                connection.write(_chunk(part) if self._chunked else part)
                await connection.drain()
            if self._chunked:
                connection.write(b"0\r\n\r\n")
        except UpstreamError:
            pass  # waiting for the response raises it
        except GatewayRefusalError as error:
            connection.fail(error)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.rest is None and not self.body and self.request.method in _SAFE_METHODS


async def exchange(call: Call, upstream: Upstream, max_seconds: float) -> int:
    """Send a request to an upstream and write its response to the client; return the status.

    Args:
        call: the request.
        upstream: where it is sent.
        max_seconds: until the response must have begun.

    Raises:
        UpstreamError, TimeoutError, GatewayRefusalError: there is no response; nothing has been
            written to the client.
    """
    connection = upstream.idle_connection() or await upstream.connect()
    sender = call.send(connection, upstream.host_field, max_seconds)
    return await pass_on(call, upstream, connection, sender)


async def pass_on(
    call: Call,
    upstream: Upstream,
    connection: Connection,
    sender: "asyncio.Task[None] | None" = None,
) -> int:
    """Write the response to a request that was sent; otherwise as `exchange`."""
    try:
        await connection.wait_for_head()
        head, chunked = _response_head(connection, call)
        if connection.complete and not chunked:
            call.request.client.write(head + connection.read_nowait())
        else:
            await _relay(connection, call, head, chunked=chunked)
        return connection.status
    finally:
        if sender is not None and not sender.done():
            sender.cancel()
            connection.abort()
        upstream.release(connection)


_CALL_ID = b"\nx-call-id:"


def whole_response(connection: Connection, call: Call) -> bytes | None:
    """Return the response to an invocation for the client, None if it has not come whole."""
    head = connection.whole_head
    if not head:
        return None
    call_id = b"" if _CALL_ID in head.lower() else b"X-Call-Id: %s\r\n" % call.call_id
    request = call.request
    option = _OPTIONS[request.keep_alive, request.http11]
    return b"%s%s%s%s\r\n%s" % (
        head, call_id, _times(call), option, connection.read_nowait()
    )  # fmt: skip


_OPTIONS = {
    (True, True): b"",
    (True, False): b"Connection: keep-alive\r\n",
    (False, True): b"Connection: close\r\n",
    (False, False): b"Connection: close\r\n",
}
"""What the client is told of its connection, by whether it is kept and is of HTTP/1.1."""


def _times(call: Call) -> bytes:
    seconds = (time.time_ns() - call.started) / 1e9
    return b"X-Start-Time: %d\r\nX-Duration-Seconds: %.6f\r\n" % (call.started, seconds)


async def _relay(connection: Connection, call: Call, pending: bytes, *, chunked: bool) -> None:
    """Write the response to the client as it is received.

    Once it has begun, an error can only be reported by closing the connection.
    """
    client = call.request.client
    try:
        while not connection.complete or connection.has_data:
            if pending and not connection.has_data:
                client.write(pending)  # the head at once: the body may be slow
                pending = b""
            data = await connection.read()
            client.write(pending + (_chunk(data) if chunked else data))
            pending = b""
            if client.must_drain:
                await client.drain()
    except (UpstreamError, GatewayRefusalError) as error:
        call.broken_off = error
        client.abort()
        return
    if chunked:
        pending += b"0\r\n\r\n"
    if pending:
        client.write(pending)


def _response_head(connection: Connection, call: Call) -> tuple[bytes, bool]:
    """Return the client's head, and whether its body is chunked; decide about its connection."""
    request, status = call.request, connection.status
    fields = connection.headers
    dropped = _DROPPED_IN_RESPONSE
    if connection.has_options:
        dropped |= _listed(fields)
    parts = [b"HTTP/1.1 %d %s\r\n" % (status, connection.reason)]
    has_length = has_call_id = False
    for lower, name, value in fields:
        if lower in dropped:
            continue
        if lower == b"content-length":
            has_length = True
        elif lower == b"x-call-id":
            has_call_id = True
        parts.append(b"%s: %s\r\n" % (name, value))
    if call.invocation:
        if not has_call_id:
            parts.append(b"X-Call-Id: %s\r\n" % call.call_id)
        parts.append(_times(call))
    elif not connection.keep_alive:  # the system API wants it closed
        request.keep_alive = False
        request.close_at_once = True
    unframed = not has_length and request.method != "HEAD" and status not in {204, 304}
    chunked = unframed and request.http11
    if chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif unframed:
        request.keep_alive = False
    parts.append(_OPTIONS[request.keep_alive, request.http11])
    parts.append(b"\r\n")
    return b"".join(parts), chunked


_ONLY_HOST = {b"host"}
_HOST_LINE = re.compile(rb"^host:[^\n]*\n", re.IGNORECASE | re.MULTILINE)


def _without_host(lines: bytes) -> bytes:
    if lines[:5].lower() == b"host:":
        return lines[lines.index(b"\n") + 1 :]
    return _HOST_LINE.sub(b"", lines)


def _listed(fields: Fields) -> frozenset[bytes]:
    """Return the names of the fields that `Connection` lists: they are for this hop only."""
    values = [value for lower, _, value in fields if lower == b"connection"]
    names = {name.strip().lower() for value in values for name in value.split(b",")}
    return frozenset(names - {b"content-length"})  # without it the body would be the next request


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
