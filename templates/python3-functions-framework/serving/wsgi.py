"""Serves a function that is no coroutine: gunicorn's worker with threads, for slow clients too."""

import errno
import io
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import responses
from pathlib import Path
from typing import Any

from serving.limits import Limits, operation

MAX_WAITING_BODIES = 512
FIRST_BYTES = 64 * 1024
PROGRESS_BYTES = 256 * 1024
MAX_READ_AHEAD = 1024


@dataclass(frozen=True)
class Threads:
    """How the threads of a worker are kept from slow clients.

    Attributes:
        count: how many run `handle`.
        body_timeout: seconds after which a body that brings nothing is ended with 408.
        response_timeout: seconds after which a response of which nothing is read is ended.
    """

    count: int
    body_timeout: float
    response_timeout: float


def body_first_worker(
    options: Threads, limits: Limits, ready_file: Path | None, waiting: list[socket.socket]
) -> type:
    """Return gunicorn's worker with threads, in which slow clients occupy none of them for long.

    gunicorn gives a connection to a thread as soon as its first byte is there. Here it is another
    one, of which there are many, that receives the request and the beginning of its body.

    Args:
        options: of its threads.
        limits: gunicorn has no such limits of its own.
        ready_file: is there while requests shall come.
        waiting: connections that were accepted before; the worker takes them first.
    """
    from gunicorn import util  # noqa: PLC0415
    from gunicorn.workers.gthread import ThreadWorker  # noqa: PLC0415

    send_timeout = struct.pack("ll", *divmod(round(options.response_timeout * 1e6), 1_000_000))
    body_timeout = options.body_timeout

    class BodyFirstWorker(ThreadWorker):
        def load_wsgi(self) -> None:
            super().load_wsgi()
            self.calls = Calls(limits)
            self.wsgi = announce_close(self.calls.watch(self.wsgi))

        def get_thread_pool(self) -> ThreadPoolExecutor:
            self.slots = threading.BoundedSemaphore(options.count)
            return ThreadPoolExecutor(options.count + MAX_WAITING_BODIES)

        def set_accept_enabled(self, enabled: Any) -> None:
            while enabled and waiting:
                one: Any = Accepted(waiting.pop(), self.sockets[0].getsockname())
                self.accept(one)
            super().set_accept_enabled(enabled)

        def notify(self) -> None:
            super().notify()
            self.calls.end_late()

        def handle(self, conn: Any) -> Any:
            self.calls.begin(conn.sock)
            try:
                return super().handle(conn)
            finally:
                self.calls.end(conn.sock)

        def handle_request(self, req: Any, conn: Any) -> bool:
            if req.path.startswith("/_/") and (found := operation(req.path, ready_file)):
                respond(conn.sock, *found)
                return False
            # of each time the system waits for the client: a slow download may take longer
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, send_timeout)
            try:
                receive_beginning(req, conn, body_timeout)
            except TimeoutError:
                reason = f"The body did not come within {body_timeout:g} s."
                util.write_error(conn.sock, 408, "Request Timeout", reason)
                return False
            if not self.calls.admit(conn.sock):
                respond(conn.sock, 429, b"too many requests at the same time")
                return False
            unreader = conn.parser.unreader
            unreader.chunk = TimedReads(conn.sock, unreader.chunk, body_timeout)
            try:
                with self.slots:
                    return super().handle_request(req, conn)
            except BlockingIOError:
                reason = f"the client read nothing for {options.response_timeout:g} s"
                raise ConnectionResetError(errno.ECONNRESET, reason) from None
            finally:
                del unreader.chunk

    return BodyFirstWorker


class Accepted:
    """A listener that has one connection: an accepted one, as gunicorn takes it."""

    def __init__(self, client: socket.socket, address: Any) -> None:
        self._client = client
        self._address = address

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the connection and the address of the client."""
        return self._client, self._client.getpeername()

    def getsockname(self) -> Any:
        """Return the address of the real listener."""
        return self._address


def respond(sock: socket.socket, status: int, body: bytes) -> None:
    """Write a small response after which the connection is closed."""
    reason = responses[status]
    more = "Retry-After: 1\r\n" if status in (429, 503) else ""
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n{more}"
    sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


@dataclass(eq=False)
class Call:
    """What happens on a connection.

    Attributes:
        since: when the request, or the call of the function, began, on the monotonic clock.
        received: whether the request is there, but for the rest of a large body.
        begun: whether the response has begun.
    """

    since: float
    received: bool = False
    begun: bool = False


class Calls:
    """The calls of a worker: bounds how many there are, and ends those that take too long.

    The thread of such a call goes on until the function returns: only its client is told, as it was
    by a watchdog in front.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._calls: dict[socket.socket, Call] = {}
        self._lock = threading.Lock()
        self._running = 0

    def begin(self, sock: socket.socket) -> None:
        """Note that a request is awaited."""
        self._calls[sock] = Call(time.monotonic())

    def admit(self, sock: socket.socket) -> bool:
        """Note that a request is there; return whether it may be handled now."""
        call = self._calls[sock]
        with self._lock:
            if self._limits.inflight and self._running >= self._limits.inflight:
                return False
            self._running += 1
        call.received, call.since = True, time.monotonic()
        return True

    def end(self, sock: socket.socket) -> None:
        """Note that nothing happens on a connection."""
        if self._calls.pop(sock).received:
            with self._lock:
                self._running -= 1

    def watch(self, app: Any) -> Any:
        """Return the application, which notes that a response begins."""

        def call(environ: dict[str, Any], start_response: Any) -> Any:
            current = self._calls.get(environ["gunicorn.socket"])

            def start(status: str, headers: Any, exc_info: Any = None) -> Any:
                if current:
                    current.begun = True
                return start_response(status, headers, exc_info)

            return app(environ, start)

        return call

    def end_late(self) -> None:
        """Close the connections of calls that take too long; those without a response get one."""
        now, limits = time.monotonic(), self._limits
        for sock, call in tuple(self._calls.items()):
            lasted = now - call.since
            if call.begun:
                if limits.write and lasted > limits.write:
                    _close(sock, None)
            elif call.received:
                if limits.call and lasted > limits.call:
                    _close(sock, 504)
            elif limits.read and lasted > limits.read:
                _close(sock, 408)


def _close(sock: socket.socket, status: int | None) -> None:
    with suppress(OSError):
        if status:
            respond(sock, status, b"")
        sock.shutdown(socket.SHUT_RDWR)


class TimedReads:
    """Receives what comes after the beginning of a body: a part of it in each so many seconds.

    Args:
        sock: of the client.
        receive: returns what is there, or waits.
        timeout: seconds that are spent waiting for each `PROGRESS_BYTES`.
    """

    def __init__(self, sock: socket.socket, receive: Any, timeout: float) -> None:
        self._sock = sock
        self._receive = receive
        self._timeout = self._left = timeout
        self._progress = 0

    def __call__(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes; empty at the end of the connection."""
        started = time.monotonic()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(max(self._left, 0.0) * 1000):
            from werkzeug.exceptions import RequestTimeout  # noqa: PLC0415

            raise RequestTimeout(f"The body did not come within {self._timeout:g} s.")
        self._left -= time.monotonic() - started
        data: bytes = self._receive(size_hint)
        self._progress += len(data)
        if self._progress >= PROGRESS_BYTES:
            self._progress, self._left = 0, self._timeout
        return data


def announce_close(app: Any) -> Any:
    """Return the application, whose responses say so where gunicorn will close the connection.

    gunicorn discards what the application leaves of a body, but not more than `FIRST_BYTES`, and
    nothing of one that broke off. Then it closes a connection of which the response has said that
    it stays open, and the client's next request is lost. How much is left of a chunked body is not
    known before it is there.
    """

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        body = environ["wsgi.input"]

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            if body.failed or not is_read(body):
                start_response.__self__.force_close()
            return start_response(status, headers, exc_info)

        return app(environ, start)

    return call


def is_read(body: Any) -> bool:
    """Return whether gunicorn will find the end of a body."""
    if isinstance(body, Continued):
        return body.ended and body.unread < FIRST_BYTES - MAX_READ_AHEAD
    return body.reader.length < FIRST_BYTES


def receive_beginning(req: Any, conn: Any, timeout: float) -> None:
    """Wait for a small body, or the beginning of a large one.

    Raises:
        TimeoutError: it does not come.
    """
    from gunicorn.http.body import LengthReader  # noqa: PLC0415

    sock, body = conn.sock, req.body
    if req._expected_100_continue:
        sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        req._expected_100_continue = False
    if isinstance(body.reader, LengthReader):
        # left in the socket: to read a part and put it back would copy the rest several times
        missing = min(body.reader.length, FIRST_BYTES) - len(conn.parser.unreader.buf.getbuffer())
        if missing > 0:
            wait_for_bytes(sock, missing, timeout)
        return
    sock.settimeout(timeout)
    beginning = body.read(FIRST_BYTES)
    sock.settimeout(None)
    req.body = Continued(beginning, body)


def wait_for_bytes(sock: socket.socket, size: int, timeout: float) -> None:
    """Wait until a socket has so many bytes to read, or is closed.

    Raises:
        TimeoutError: it does not within so many seconds.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
    try:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise TimeoutError
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


class Continued:
    """A body whose beginning has been read, as WSGI has it."""

    def __init__(self, beginning: bytes, body: Any) -> None:
        self._beginning = io.BytesIO(beginning)
        self._body = body

    @property
    def ended(self) -> bool:
        """Whether all of it has been received."""
        return self._body.reader.parser is None

    @property
    def unread(self) -> int:
        """How many bytes of the beginning have not been read."""
        return self._beginning.getbuffer().nbytes - self._beginning.tell()

    @property
    def failed(self) -> bool:
        """Whether it broke off, as gunicorn asks."""
        return self._body.failed

    def read(self, size: int | None = None) -> bytes:
        """Return so many bytes, fewer at the end; all without a size."""
        if size is None or size < 0:
            return self._beginning.read() + self._body.read()
        part = self._beginning.read(size)
        return part if len(part) == size else part + self._body.read(size - len(part))

    def readline(self, size: int | None = None) -> bytes:
        """Return the next line, or so many bytes of it."""
        line = self._beginning.readline(-1 if size is None else size)
        if line.endswith(b"\n") or (size is not None and len(line) == size):
            return line
        return line + self._body.readline(None if size is None else size - len(line))

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """Return all lines."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")
