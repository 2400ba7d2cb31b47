"""Serves a coroutine function: uvicorn's worker, with what stands between it and the network."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from serving.limits import Limits, operation
from serving.shortcut import Shortcut, ShortCycle, short_headers

JOINED_BYTES = 64 * 1024
_TICKS = 5
"""Of uvicorn's main loop, each a tenth of a second, between two looks at the time limits."""


class Framework:
    """Functions Framework's ASGI application, loaded when it is called for the first time.

    It brings Flask, a fifth of a start, which a function with `middleware` may never need.

    Args:
        entry: the file that has `handle`.
    """

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._app: Any = None

    def load(self) -> Any:
        """Return the application."""
        from functions_framework.aio import create_asgi_app  # noqa: PLC0415

        self._app = self._app or trust_proxy(create_asgi_app("handle", self._entry, "http"))
        return self._app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take a request."""
        await self.load()(scope, receive, send)


def server(app: Any, address: str, options: dict[str, object]) -> Any:
    """Return gunicorn, set as Functions Framework sets it.

    Args:
        app: what it serves.
        address: where, unless `options` say something else.
        options: of gunicorn, before those.
    """
    from gunicorn.app.base import BaseApplication  # noqa: PLC0415

    settings: dict[str, object] = {
        "bind": address,
        "workers": int(os.environ.get("WORKERS", "1")),
        "timeout": int(os.environ.get("CLOUD_RUN_TIMEOUT_SECONDS", "0")),
        "loglevel": os.environ.get("GUNICORN_LOG_LEVEL", "error"),
        "limit_request_line": 0,
        **options,
    }

    class Server(BaseApplication):
        def load_config(self) -> None:
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    return Server()


def trust_proxy(app: Any) -> Any:
    """Return the application, with the client and the scheme that a trusted proxy names.

    uvicorn's worker would do it for `middleware` as well, at the price of its own work.
    """
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware  # noqa: PLC0415

    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
    return ProxyHeadersMiddleware(app, trusted_hosts=trusted)


def take_calls(app: Any, limits: Limits, ready_file: Path | None) -> Any:
    """Return the application behind the answers to probes and the limit of calls."""
    running = 0

    async def take(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        if scope["path"].startswith("/_/") and (found := operation(scope["path"], ready_file)):
            await _respond(send, *found)
            return
        if limits.inflight and running >= limits.inflight:
            await _respond(send, 429, b"too many requests at the same time", (b"retry-after", b"1"))
            return
        running += 1
        try:
            await app(scope, receive, send)
        finally:
            running -= 1

    return take


async def _respond(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [length, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def one_write_worker(
    limits: Limits, waiting: list[socket.socket], shortcuts: Mapping[bytes, Shortcut]
) -> type:
    """Return uvicorn's worker, in which the head and the body of a response are written at once.

    uvloop sends what is written without delay. Two system calls, and two packets that wake the
    client, are a fifth of what a small response costs.

    Args:
        limits: uvicorn has no such limits of its own.
        waiting: connections that were accepted before; the worker takes them first.
        shortcuts: by path, written exactly so; what they take makes no task, scope or messages.
    """
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol  # noqa: PLC0415
    from uvicorn.server import Server  # noqa: PLC0415
    from uvicorn_worker import UvicornWorker  # noqa: PLC0415

    default_lines = _DefaultLines()

    class LimitedProtocol(HttpToolsProtocol):
        cycle: Any  # uvicorn's, or a `ShortCycle`
        parser: Any
        started: float | None = None
        """When what is awaited began: a request, or the response to it; None between calls."""
        received = False
        idle_since: float | None = None
        """When a response ended after which no timer was set: to set and cancel one takes long."""
        short: ShortCycle | None = None
        """The request that is being received, if a shortcut may take it."""

        def connection_made(self, transport: Any) -> None:
            self.joined = OneWrite(transport, self.loop.call_soon)
            joined: Any = self.joined
            super().connection_made(joined)
            self.started = self.loop.time()

        def on_message_begin(self) -> None:
            if self.started is None:
                self.started = self.loop.time()
            self.received = False
            self.idle_since = None
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            if self.url in shortcuts and (headers := short_headers(self)) is not None:
                keep_alive = self.parser.should_keep_alive()
                self.short = self.cycle = ShortCycle(headers, keep_alive, self._respond)
            else:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self.short:
                self.short.parts.append(body)
            else:
                super().on_body(body)

        def on_message_complete(self) -> None:
            self.received = True
            self.started = self.loop.time()
            short, self.short = self.short, None
            if short is None:
                super().on_message_complete()
                return
            body = short.parts[0] if len(short.parts) == 1 else b"".join(short.parts)
            try:
                taken = shortcuts[self.url](short.headers, body, short.respond)
            except Exception:
                self.logger.exception("a shortcut failed")
                taken = short.response_started
            if not taken:
                self._take_the_long_way(short, body)

        def _take_the_long_way(self, short: ShortCycle, body: bytes) -> None:
            self.cycle = None
            super().on_headers_complete()
            self.cycle.keep_alive = self.cycle.keep_alive and short.keep_alive
            super().on_body(body)
            super().on_message_complete()

        def _respond(self, short: ShortCycle, status: int, lines: bytes, body: bytes) -> None:
            defaults = self.server_state.default_headers
            if defaults is not default_lines.of:
                default_lines.of = defaults
                default_lines.text = b"".join(b"%b: %b\r\n" % each for each in defaults)
            close = b"" if short.keep_alive else b"connection: close\r\n"
            self.joined.write_now(
                b"%b%b%b%b\r\n%b" % (STATUS_LINE[status], default_lines.text, lines, close, body)
            )
            if close:
                self.transport.close()
            if self.pipeline or self.transport.is_closing():
                self.on_response_complete()
            else:
                self.server_state.total_requests += 1
                self.started, self.idle_since = None, self.loop.time()

        def on_response_complete(self) -> None:
            self.started = self.loop.time() if self.pipeline else None
            super().on_response_complete()

        def end_if_late(self, now: float) -> None:
            if self.transport.is_closing():
                return
            if self.started is None:
                if self.idle_since and now - self.idle_since > self.timeout_keep_alive:
                    self.transport.close()
                return
            lasted = now - self.started
            cycle = self.cycle
            begun = cycle and not cycle.response_complete and cycle.response_started
            if begun:
                if limits.write and lasted > limits.write:
                    self.transport.abort()
            elif not self.received:
                if limits.read and lasted > limits.read:
                    if self.headers is None:  # nothing was asked
                        self.transport.close()
                    else:
                        self._refuse(b"408 Request Timeout")
            elif limits.call and lasted > limits.call:
                self._refuse(b"504 Gateway Timeout")

        def _refuse(self, status: bytes) -> None:
            head = b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(head % status)
            self.transport.close()

    class LimitedServer(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            make = partial(
                LimitedProtocol,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            for each in waiting:
                each.setblocking(False)
                await asyncio.get_running_loop().connect_accepted_socket(make, each)
            waiting.clear()

        async def on_tick(self, counter: int) -> bool:
            if counter % _TICKS == 0:
                now = asyncio.get_running_loop().time()
                for each in tuple(self.server_state.connections):
                    if isinstance(each, LimitedProtocol):
                        each.end_if_late(now)
            return await super().on_tick(counter)

    class OneWriteWorker(UvicornWorker):
        CONFIG_KWARGS = {"loop": "uvloop", "http": LimitedProtocol, "proxy_headers": False}  # noqa: RUF012

        async def _serve(self) -> None:
            self.config.app = self.wsgi
            server = LimitedServer(config=self.config)
            self._install_sigquit_handler()
            await server.serve(sockets=self.sockets)

    return OneWriteWorker


class _DefaultLines:
    """The header lines of every response, made anew when uvicorn changes the date in them."""

    of: Any = None
    text = b""


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
        if self._size > JOINED_BYTES:
            self._flush()

    def write_now(self, data: bytes) -> None:
        """Write what is complete."""
        self._flush()
        if not self._transport.is_closing():
            self._transport.write(data)

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
