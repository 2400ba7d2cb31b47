"""The gateway's side of a client's connection: HTTP/1.1, with httptools.

aiohttp's server took two thirds of the gateway's time for an invocation: it makes URLs, multidicts
and responses of what is passed on byte for byte. This one parses the framing and the header fields
and nothing else. Requests of one connection are served one after the other, in order.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from functions.common.http.front_door import RawResponse
from infra.local.errors import GatewayRefusalError
from infra.local.gateway import refusals
from infra.local.gateway.http1.connections import OpenConnections
from infra.local.gateway.http1.content import Content
from infra.local.gateway.http1.fields import Fields
from infra.local.gateway.http1.flow_control import FlowControl

logger = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 * 1024
"""Of a request's target and header fields together."""
MAX_FRAMING_PER_BYTE = 16
"""How many times as long as a body its chunks' heads may be, beside `MAX_HEADER_BYTES` for them and
the trailers. Chunks of one byte have heads of 5."""
MAX_PIPELINED = 64
"""Requests that are kept while an earlier one is served; the connection takes none after them."""
KEEP_ALIVE_SECONDS = 90.0
"""After which a connection is closed on which no request is being served."""
LINGER_SECONDS = 10.0
"""How long what is left of a body is received and dropped, so that the client reads the response
to it; a connection closed with unread bytes is reset."""

_NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class ClientRequest:
    """One request of a client, and the way back to it.

    Attributes:
        method: as it was sent.
        target: path and query, byte for byte; of an absolute URL what follows the host.
        fields: the header fields in their order.
        lines: the same as they were sent, each with its end, where every field has one line; else
            empty.
        first: the first value of each field, by its name in lower case.
        http11: whether it is HTTP/1.1, and not 1.0.
        keep_alive: whether the connection is kept after it.
        close_at_once: whether what is left of its body is not waited for before that.
        content: its body.
        client: its connection.
        refusal: the response, where it cannot be served.
    """

    __slots__ = (
        "client", "close_at_once", "content", "continues", "fields", "first", "http11",
        "keep_alive", "lines", "method", "refusal", "target",
    )  # fmt: skip

    def __init__(self, client: "ClientConnection", content: Content) -> None:
        self.client = client
        self.content = content
        self.method = self.target = ""
        self.lines = b""
        self.fields: Fields = []
        self.first: dict[bytes, bytes] = {}
        self.http11 = True
        self.keep_alive = self.close_at_once = self.continues = False
        self.refusal: RawResponse | None = None

    def header(self, name: bytes) -> str | None:
        """Return the first value of a field, named in lower case."""
        value = self.first.get(name)
        return None if value is None else value.decode("utf-8", "surrogateescape")

    @property
    def content_length(self) -> int:
        """The length that the header announces; 0 without one."""
        return int(self.first.get(b"content-length", 0))

    def respond(self, response: RawResponse) -> None:
        """Write a response of the gateway itself."""
        status, body = response.status, response.body
        lines = {"Content-Type": response.content_type, **response.headers}
        lines |= {"Content-Length": str(len(body)), "Date": formatdate(usegmt=True)}
        if self.continues and not self.content.is_eof():
            self.keep_alive = False  # whether the body follows, only the client knows
        if not self.keep_alive:
            lines["Connection"] = "close"
        elif not self.http11:
            lines["Connection"] = "keep-alive"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        # a name in a problem may hold what was not UTF-8
        text = f"{line}{head}\r\n".encode("utf-8", "surrogateescape")
        self.client.write(text + (b"" if self.method == "HEAD" else body))

    def send_continue(self) -> None:
        """Tell a client that waits for it to send the body."""
        if self.continues:
            self.continues = False
            self.client.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class Serving(Protocol):
    """What serves a request now: a task, or what stands for it."""

    def cancel(self) -> object:
        """End it: the client has gone."""
        ...


class Handler(Protocol):
    """Serves requests: writes their responses, and says whether the connection stays."""

    def begin(self, request: ClientRequest) -> Serving | None:
        """Begin to serve a request without a task; None: nothing is done, it is one for `serve`.

        What is returned calls `end` or `go_on` of the client's connection, later.
        """
        ...

    async def serve(self, request: ClientRequest) -> None:
        """Serve a request."""
        ...


class ClientConnection(FlowControl):
    """One connection of a client."""

    __slots__ = (
        "_current", "_data", "_fields", "_framing_bytes", "_handler", "_head_bytes",
        "_idle_since", "_idle_timer", "_in_head", "_incoming", "_open_connections",
        "_parser", "_queue", "_reading", "_response_timeout", "_stopping", "_task", "_transport",
        "_url", "forwarded_for",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Handler,
        open_connections: OpenConnections,
        response_timeout: float,
    ) -> None:
        """Make a connection.

        Args:
            loop: the running event loop.
            handler: serves its requests.
            open_connections: where it is as long as it is open.
            response_timeout: seconds after which a client that reads nothing is given up.
        """
        super().__init__(loop)
        self._handler = handler
        self._open_connections = open_connections
        self._response_timeout = response_timeout
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._queue: deque[ClientRequest] = deque()
        self._current: ClientRequest | None = None
        self._incoming: ClientRequest | None = None
        self._task: Serving | None = None
        self._idle_since = loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopping = self._in_head = False
        self._reading = True
        self._transport: asyncio.Transport | None = None
        self._url = self._data = b""
        self._fields: Fields = []
        self._head_bytes = self._framing_bytes = 0
        self.forwarded_for = b""
        """The header line with the client's address."""

    # Writing

    def write(self, data: bytes) -> None:
        """Send a part of a response."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has received most of what was sent.

        Raises:
            GatewayRefusalError: it reads nothing.
        """
        if not self._write_paused:
            return
        try:
            async with asyncio.timeout(self._response_timeout):
                await self._wait_for_room()
        except TimeoutError:
            detail = f"the client has read nothing for {self._response_timeout:g} s"
            raise GatewayRefusalError(refusals.SLOW_RESPONSE, 408, detail) from None

    @property
    def must_drain(self) -> bool:
        """Whether `drain` waits."""
        return self._write_paused

    @property
    def idle(self) -> bool:
        """Whether no request is being served."""
        return self._current is None

    def abort(self) -> None:
        """Close the connection at once, so that a response is not taken for complete."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._open_connections.admit(self):
            self._transport.write(_NO_ROOM)
            self._close()
            return
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple) and peer:
            self.forwarded_for = f"X-Forwarded-For: {peer[0]}\r\n".encode()
        self._close_when_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._parser = None
        self._open_connections.remove(self)
        self._queue.clear()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._incoming is not None:
            self._incoming.content.set_exception(ConnectionResetError("the client has gone"))
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        in_head, incoming = self._in_head, self._incoming
        body_before = incoming.content.total_bytes if incoming is not None else 0
        self._data = b"" if in_head or incoming is not None else data
        while self._parser is not None:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:  # which is not offered: HTTP goes on
                data = data[upgrade.args[0] :]
                if data:
                    continue
            except httptools.HttpParserError as error:
                self._malformed(error)
            break
        if incoming is not None:
            self._bound_framing(incoming, len(data), body_before)
        elif in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES:
                self._refuse_head(431, f"the head is larger than {MAX_HEADER_BYTES} bytes")
        if self._current is None:
            self._serve_next()
        elif self._queue:
            self.set_reading(False)

    def set_reading(self, reading: bool) -> None:
        """Stop or go on reading from the client."""
        if reading != self._reading and self._transport is not None:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are dropped
            self._fields.append((name.lower(), name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:  # no more requests are taken
            return
        request = self._incoming = ClientRequest(self, Content(self.set_reading))
        self._in_head = False
        self._framing_bytes = 0
        url, fields, data = self._url, self._fields, self._data
        self._url, self._fields, self._data = b"", [], b""
        request.fields = fields
        request.method = parser.get_method().decode("latin-1")
        request.http11 = parser.get_http_version() != "1.0"
        request.keep_alive = parser.should_keep_alive()
        first = request.first = {lower: value for lower, _, value in reversed(fields)}
        hosts = size = 0
        if len(first) < len(fields):
            hosts = sum(lower == b"host" for lower, _, _ in fields)
        if data and len(data) <= MAX_HEADER_BYTES:
            request.lines = header_lines(data, len(fields))
        else:
            size = len(url) + sum(len(lower) + len(value) for lower, _, value in fields)
        if not url.startswith(b"/"):
            url = _origin_form(url)
        request.target = url.decode("utf-8", "surrogateescape")
        if size > MAX_HEADER_BYTES:
            self._refuse(request, 431, f"the head is larger than {MAX_HEADER_BYTES} bytes")
        elif hosts > 1 or request.method == "CONNECT":
            self._refuse(request, 400, "the request has more than one Host, or asks for a tunnel")
        elif b"transfer-encoding" in first and not _is_chunked(request):
            self._refuse(request, 400, "no Transfer-Encoding but chunked, of HTTP/1.1, is taken")
        elif b"expect" in first:
            self._expect(request, first[b"expect"])
        self._queue.append(request)
        if len(self._queue) > MAX_PIPELINED:
            request.keep_alive = False
            self._parser = None

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.content.feed(body)

    def on_message_complete(self) -> None:
        request, self._incoming = self._incoming, None
        if request is not None:
            request.content.feed_eof()
            if request is self._current and self._task is None:
                self._go_on(request)

    # Requests

    def _expect(self, request: ClientRequest, expected: bytes) -> None:
        if expected.lower() != b"100-continue":
            self._refuse(request, 417, "nothing but 100-continue can be expected")
        else:
            request.continues = request.http11

    def _refuse(self, request: ClientRequest, status: int, detail: str) -> None:
        request.refusal = RawResponse(status, f"{detail}\n".encode(), "text/plain; charset=utf-8")
        request.keep_alive = False

    def _refuse_head(self, status: int, detail: str) -> None:
        """Answer what is not a request; nothing that comes after it is read."""
        request = ClientRequest(self, Content(self.set_reading))
        request.content.feed_eof()
        self._refuse(request, status, detail)
        self._queue.append(request)
        self._parser = None

    def _bound_framing(self, request: ClientRequest, received: int, body_before: int) -> None:
        """End a body of which little is body: the parser keeps a trailer however long it is."""
        if request is self._incoming:
            total = request.content.total_bytes
            self._framing_bytes += received - (total - body_before)
            if self._framing_bytes > MAX_HEADER_BYTES + MAX_FRAMING_PER_BYTE * total:
                self._malformed(httptools.HttpParserError("more framing than body"))

    def _malformed(self, error: httptools.HttpParserError) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            self._refuse_head(400, f"the request is not HTTP: {error}")
            return
        self._parser = None
        incoming.keep_alive = False
        incoming.content.set_exception(error)
        if incoming is self._current and self._task is None:
            self._close()

    def _serve_next(self) -> None:
        if not self._queue or self._transport is None:
            return
        request = self._current = self._queue.popleft()
        if request.refusal is None and not self._stopping:
            try:
                self._task = self._handler.begin(request)
            except Exception:
                self._failed(request)
                return
        if self._task is None:
            self._task = self._loop.create_task(self._serve(request))

    def end(self, request: ClientRequest) -> None:
        """Go on after a request that was served without a task."""
        self._task = None
        self._finish(request)

    def go_on(self, request: ClientRequest, serving: Awaitable[None]) -> "asyncio.Task[None]":
        """Serve the rest of a request that was begun without a task; return the task for it."""
        task = self._task = self._loop.create_task(self._serve(request, serving))
        return task

    async def _serve(self, request: ClientRequest, serving: Awaitable[None] | None = None) -> None:
        if self._stopping:
            request.keep_alive = False
        try:
            if request.refusal is not None:
                request.respond(request.refusal)
            else:
                await (serving or self._handler.serve(request))
        except Exception:
            self._failed(request)
        finally:
            self._task = None
        self._finish(request)

    def _failed(self, request: ClientRequest) -> None:
        logger.exception("request failed")
        request.keep_alive = False
        self._close()

    def _finish(self, request: ClientRequest) -> None:
        if self._transport is None:
            return
        content = request.content
        if not content.is_eof():
            gone = request.close_at_once or content.exception() is not None
            if gone or request.continues:
                self._close()
            else:
                content.discard()
                self._loop.call_later(LINGER_SECONDS, self._linger_timed_out, request)
            return
        self._go_on(request)

    def _go_on(self, request: ClientRequest) -> None:
        """Go on after a request whose body has been received."""
        if not request.keep_alive or self._stopping or (self._parser is None and not self._queue):
            self._close()
            return
        self._current = None
        self._idle_since = self._loop.time()
        self._serve_next()
        if not self._queue:
            self.set_reading(True)

    def _linger_timed_out(self, request: ClientRequest) -> None:
        if self._current is request:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._parser = None
            self._queue.clear()
            # what the client has not read would keep it open
            self._loop.call_later(self._response_timeout, self.abort)

    # The end

    def _close_when_idle(self) -> None:
        left = self._idle_since + KEEP_ALIVE_SECONDS - self._loop.time()
        if self._current is not None:
            left = KEEP_ALIVE_SECONDS
        elif left <= 0:
            self._close()
            return
        self._idle_timer = self._loop.call_later(left, self._close_when_idle)

    def stop(self) -> None:
        """Close the connection as soon as no request is being served."""
        self._stopping = True
        if self._task is None:
            self._close()


def header_lines(data: bytes, fields: int) -> bytes:
    """Return the lines of the header fields that data begins with; nothing if they are unusual."""
    start, end = data.find(b"\r\n") + 2, data.find(b"\r\n\r\n") + 2
    lines = data[start:end]
    # as many as there are fields: none is folded, and the request's line was the first
    if fields == lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r"):
        return lines
    return b""


def _is_chunked(request: ClientRequest) -> bool:
    """Whether a body is encoded in the one way that is decoded: else it would be passed on as
    something that it is not."""
    values = [value for lower, _, value in request.fields if lower == b"transfer-encoding"]
    return request.http11 and [value.lower() for value in values] == [b"chunked"]


def _origin_form(url: bytes) -> bytes:
    """Return path and query of an absolute URL; anything else as it is."""
    scheme, separator, rest = url.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        return url
    for at, byte in enumerate(rest):
        if byte in b"/?":
            return rest[at:] if byte == 0x2F else b"/" + rest[at:]
    return b"/"


class ClientListener:
    """Listens for clients, and ends their connections in order."""

    def __init__(
        self, handler: Handler, connections: OpenConnections, response_timeout: float
    ) -> None:
        self._handler = handler
        self._connections = connections
        self._response_timeout = response_timeout
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            OSError: that cannot be listened on.
        """
        self._connections.raise_descriptor_limit()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ClientConnection(
                loop, self._handler, self._connections, self._response_timeout
            ),
            host,
            port,
            backlog=1024,
        )
        return self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Take no more connections and requests; those that are being served go on."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.stop()

    async def wait_closed(self, max_seconds: float) -> None:
        """Wait so many seconds for the requests that are being served, then give them up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max_seconds):
                await self._connections.wait_for_none()
        for connection in self._connections:
            connection.abort()
        await self._connections.wait_for_none()
