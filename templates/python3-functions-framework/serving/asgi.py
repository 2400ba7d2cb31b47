"""Serves a coroutine function: uvicorn's worker, with what stands between it and the network."""

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from serving.limits import Limits, operation

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


def one_write_worker(limits: Limits, waiting: list[socket.socket]) -> type:
    """Return uvicorn's worker, in which the head and the body of a response are written at once.

    uvloop sends what is written without delay. Two system calls, and two packets that wake the
    client, are a fifth of what a small response costs.

    Args:
        limits: uvicorn has no such limits of its own.
        waiting: connections that were accepted before; the worker takes them first.
    """
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415
    from uvicorn.server import Server  # noqa: PLC0415
    from uvicorn_worker import UvicornWorker  # noqa: PLC0415

    class LimitedProtocol(HttpToolsProtocol):
        started: float | None = None
        """When what is awaited began: a request, or the response to it; None between calls."""
        received = False

        def connection_made(self, transport: Any) -> None:
            joined: Any = OneWrite(transport, self.loop.call_soon)
            super().connection_made(joined)
            self.started = self.loop.time()

        def on_message_begin(self) -> None:
            if self.started is None:
                self.started = self.loop.time()
            self.received = False
            super().on_message_begin()

        def on_message_complete(self) -> None:
            self.received = True
            self.started = self.loop.time()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            self.started = self.loop.time() if self.pipeline else None
            super().on_response_complete()

        def end_if_late(self, now: float) -> None:
            if self.started is None or self.transport.is_closing():
                return
            lasted = now - self.started
            begun = self.cycle is not None and not self.cycle.response_complete
            begun = begun and self.cycle.response_started
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
