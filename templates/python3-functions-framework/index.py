"""Serves one function: the process that runs in the image, and locally.

The function is `handle` of the module named by `FUNCTION_MODULE` (in an image `function.handler`).
A coroutine function is served as ASGI and takes a `starlette.requests.Request`; any other is served
as WSGI and takes a `flask.Request`. Functions Framework's own production server runs it. Where the
module of a coroutine function has `middleware`, that is given the framework's ASGI application, and
returns the one to serve.

Environment: `HOST`, `PORT`, `THREADS` (WSGI only), `BODY_TIMEOUT` (WSGI only: seconds in which a
body must come, or its first 64 KiB and then each 256 KiB), `RESPONSE_TIMEOUT` (WSGI only: seconds
in which a client must read something of its response), `GRACEFUL_TIMEOUT` (seconds that requests in
hand get on SIGTERM), `KEEP_ALIVE` (seconds an idle connection stays open), `DRAIN_DELAY` (seconds
that new requests are still taken after SIGTERM, while the senders learn of it),
`READY_FILE` (a file that is there once requests can be taken).
"""

import errno
import importlib
import inspect
import io
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MAX_WAITING_BODIES = 512
FIRST_BYTES = 64 * 1024
PROGRESS_BYTES = 256 * 1024
MAX_READ_AHEAD = 1024

# In an image the function's folder holds what `configuration.copy` of stack.yml brought.
sys.path.insert(0, str(Path(__file__).resolve().parent / "function"))
sys.path.insert(1, str(Path(__file__).resolve().parent))


def load(name: str) -> tuple[Any, Any]:
    """Return `handle` of a module, and its `middleware` or None.

    Where they cannot be had, exit with one line that says why.
    """
    try:
        module = importlib.import_module(name)
        return module.handle, getattr(module, "middleware", None)
    except Exception as error:
        here = traceback.extract_tb(error.__traceback__)[-1]
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        reason = " ".join(str(error).split()) or "no reason given"
        where = f"{here.filename}, line {here.lineno}"
        sys.exit(f"{name} cannot be loaded: {type(error).__name__}: {reason} ({where})")


ready_file = Path(os.environ["READY_FILE"]) if os.environ.get("READY_FILE") else None
if ready_file and __name__ == "__main__":
    ready_file.unlink(missing_ok=True)  # a container that crashed left it to the next

handle, middleware = load(os.environ.get("FUNCTION_MODULE", "function.handler"))


def serve() -> None:
    """Serve `handle` until SIGTERM; requests in flight are finished first."""
    from functions_framework._http import create_server  # noqa: PLC0415

    os.environ["FUNCTION_TARGET"] = "handle"
    options: dict[str, object] = {
        "graceful_timeout": int(os.environ.get("GRACEFUL_TIMEOUT", "25")),
        "keepalive": int(os.environ.get("KEEP_ALIVE", "75")),
        "control_socket_disable": True,
    }
    if made := ready_file:
        options["post_worker_init"] = lambda worker: made.touch()
    drain_delay = float(os.environ.get("DRAIN_DELAY", "0"))
    if drain_delay > 0:
        options["when_ready"] = lambda server: delay_sigterm(server, drain_delay)
    # The handler module is loaded already; the framework is given this file, which names it.
    if inspect.iscoroutinefunction(handle):
        from functions_framework.aio import create_asgi_app  # noqa: PLC0415

        app = trust_proxy(create_asgi_app("handle", __file__, "http"))
        if middleware:
            app = middleware(app)
        options["worker_class"] = one_write_worker()
    else:
        from functions_framework import create_app  # noqa: PLC0415

        app = create_app("handle", __file__, "http")
        options["worker_class"] = body_first_worker(
            int(os.environ.get("THREADS", (os.cpu_count() or 1) * 4)),
            float(os.environ.get("BODY_TIMEOUT", "30")),
            float(os.environ.get("RESPONSE_TIMEOUT", "30")),
        )
    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    create_server(app, False, **options).run(host, port)


def trust_proxy(app: Any) -> Any:
    """Return the application, with the client and the scheme that a trusted proxy names.

    uvicorn's worker would do it for `middleware` as well, at the price of its own work.
    """
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware  # noqa: PLC0415

    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
    return ProxyHeadersMiddleware(app, trusted_hosts=trusted)


def one_write_worker() -> type:
    """Return uvicorn's worker, in which the head and the body of a response are written at once.

    uvloop sends what is written without delay. Two system calls, and two packets that wake the
    client, are a fifth of what a small response costs.
    """
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415
    from uvicorn_worker import UvicornWorker  # noqa: PLC0415

    class OneWriteProtocol(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            joined: Any = OneWrite(transport, self.loop.call_soon)
            super().connection_made(joined)

    class OneWriteWorker(UvicornWorker):
        CONFIG_KWARGS = {"loop": "uvloop", "http": OneWriteProtocol, "proxy_headers": False}  # noqa: RUF012

    return OneWriteWorker


class OneWrite:
    """A transport that joins what is written to it before the event loop goes on."""

    def __init__(self, transport: Any, call_soon: Callable[..., Any]) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._written: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write soon, and at once where much has come together."""
        if not self._written:
            self._call_soon(self._flush)
        self._written.append(data)
        self._size += len(data)
        if self._size > FIRST_BYTES:
            self._flush()

    def close(self) -> None:
        """Close the connection, once what was written is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._written:
            data = b"".join(self._written)
            self._written.clear()
            self._size = 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def body_first_worker(threads: int, body_timeout: float, response_timeout: float) -> type:
    """Return gunicorn's worker with threads, in which slow clients occupy none of them for long.

    gunicorn gives a connection to a thread as soon as its first byte is there. Here it is another
    one, of which there are many, that receives the request and the beginning of its body.

    Args:
        threads: how many run `handle`.
        body_timeout: seconds after which a body that brings nothing is ended with 408.
        response_timeout: seconds after which a response of which nothing is read is ended.
    """
    from gunicorn import util  # noqa: PLC0415
    from gunicorn.workers.gthread import ThreadWorker  # noqa: PLC0415

    send_timeout = struct.pack("ll", *divmod(round(response_timeout * 1e6), 1_000_000))

    class BodyFirstWorker(ThreadWorker):
        def load_wsgi(self) -> None:
            super().load_wsgi()
            self.wsgi = announce_close(self.wsgi)

        def get_thread_pool(self) -> ThreadPoolExecutor:
            self.slots = threading.BoundedSemaphore(threads)
            return ThreadPoolExecutor(threads + MAX_WAITING_BODIES)

        def handle_request(self, req: Any, conn: Any) -> bool:
            # of each time the system waits for the client: a slow download may take longer
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, send_timeout)
            try:
                receive_beginning(req, conn, body_timeout)
            except TimeoutError:
                reason = f"The body did not come within {body_timeout:g} s."
                util.write_error(conn.sock, 408, "Request Timeout", reason)
                return False
            unreader = conn.parser.unreader
            unreader.chunk = TimedReads(conn.sock, unreader.chunk, body_timeout)
            try:
                with self.slots:
                    return super().handle_request(req, conn)
            except BlockingIOError:
                reason = f"the client read nothing for {response_timeout:g} s"
                raise ConnectionResetError(errno.ECONNRESET, reason) from None
            finally:
                del unreader.chunk

    return BodyFirstWorker


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


def delay_sigterm(server: Any, seconds: float) -> None:
    """Let gunicorn's arbiter learn of SIGTERM later; a second one does not prolong the wait.

    A watchdog passes the signal on at once and goes on taking requests until it is left out of the
    load balancing: they must still be answered.
    """

    def wait(signum: int, frame: object) -> None:
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGTERM, wait)
    signal.signal(signal.SIGALRM, lambda signum, frame: server.signal(signal.SIGTERM, frame))


if __name__ == "__main__":
    serve()
