"""Receives the bodies of requests: whole, where they are not very large, and only if they come.

A function has few threads. A request that takes one of them before its body is there keeps it for
as long as its client likes, so a body is received first, and the function is looked for then.
Memory for that is bounded: where it is used up, the body that comes slowest is ended.
"""

import asyncio
import time
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from infra.local.errors import GatewayRefusalError
from infra.local.gateway import refusals

MIN_PROGRESS_BYTES = 256 * 1024
"""A body ends, or brings so many bytes, within each BODY_TIMEOUT that is spent waiting for it."""
MAX_ROOM_WAIT_SECONDS = 5.0
"""How long a body waits for memory, unread, before it is refused."""
MIN_IDLE_SECONDS = 1.0
"""A body that has got no further for so long gives its memory to others that need it."""
MIN_SLOW_SECONDS = 5.0
"""So does a body that comes all the while, but has not ended in so long."""
_ROOM_INTERVAL_SECONDS = 0.02


class Source(Protocol):
    """Where the parts of a body come from: `Content`, or aiohttp's `StreamReader`."""

    total_bytes: int

    def is_eof(self) -> bool: ...

    async def readany(self) -> bytes: ...

    def set_exception(self, exc: Exception) -> None: ...


async def read_part(source: Source) -> bytes:
    """Return what has come of a body, as soon as there is any; empty at its end.

    Raises:
        GatewayRefusalError: the body was ended, or is malformed.
    """
    try:
        return await source.readany()
    except GatewayRefusalError:
        raise
    except Exception as error:  # aiohttp's are of many kinds
        detail = f"request body: {str(error) or type(error).__name__}"
        raise GatewayRefusalError(refusals.MALFORMED_BODY, 400, detail, close=True) from error


class RequestBody:
    """The body of one request, as far as it has been received.

    Attributes:
        data: what is held of it.
        complete: whether that is all of it.
        held_bytes: the memory that is counted for it.
        room: set when it gets the memory that it waits for; None: it does not wait for any.
        room_bytes: how much it waits for.
        started: when its reception began, on the monotonic clock.
    """

    __slots__ = (
        "_bodies", "_content", "_progress", "_received", "_seconds_left", "_used_at",
        "complete", "data", "held_bytes", "room", "room_bytes", "started",
    )  # fmt: skip

    def __init__(self, bodies: "RequestBodies", content: Source) -> None:
        self._bodies = bodies
        self._content = content
        self.started = self._used_at = time.monotonic()
        self._received = 0
        self._progress = 0
        self._seconds_left = bodies.timeout
        self.held_bytes = 0
        self.room: asyncio.Future[None] | None = None
        self.room_bytes = 0
        self.complete = False
        self.data = b""

    def claim(self, now: float) -> tuple[int, float] | None:
        """Return how good its claim to its memory is, for comparison; None: it keeps it.

        The worst have bodies whose clients send nothing, then those that wait for memory themselves
        (where they hold all of it, none would get on), then those that come slowly.
        """
        age = now - self.started
        idle = now - self._used_at > MIN_IDLE_SECONDS
        if not idle and age < MIN_SLOW_SECONDS:
            return None
        kind = 2 if not idle else 0 if self.room is None else 1
        return kind, self._received / age

    def use(self) -> None:
        """Note that it has got further."""
        self._used_at = time.monotonic()

    def seconds_unused(self, now: float) -> float:
        """Return for how long it has got no further."""
        return now - self._used_at

    async def fill(self, max_bytes: int) -> None:
        """Hold the body, or so many bytes of it.

        Raises:
            GatewayRefusalError: it comes too slowly, is malformed, or there is no room for it.
        """
        parts: list[bytes] = []
        waiting = self._bodies.waiting
        waiting.add(self)
        try:
            while self.held_bytes < max_bytes:
                part = await self.read()
                if not part:
                    self.complete = True
                    break
                parts.append(part)
                if not self._bodies.hold(self, len(part)):
                    await self._bodies.wait_for_room(self, len(part))
        finally:
            waiting.discard(self)
        self.data = parts[0] if len(parts) == 1 else b"".join(parts)

    async def read(self) -> bytes:
        """Return the next part of the body; empty at its end.

        Raises:
            GatewayRefusalError: it comes too slowly, or is malformed.
        """
        content = self._content
        if content.total_bytes == self._received and not content.is_eof():
            part = await self._wait_and_read()
        else:
            part = await read_part(self._content)
        self.use()
        self._received += len(part)
        self._progress += len(part)
        if self._progress >= MIN_PROGRESS_BYTES:
            self._progress, self._seconds_left = 0, self._bodies.timeout
        return part

    async def _wait_and_read(self) -> bytes:
        loop = asyncio.get_running_loop()
        started = loop.time()
        timer = loop.call_later(self._seconds_left, self._end_slow)
        try:
            return await read_part(self._content)
        finally:
            timer.cancel()
            self._seconds_left = max(0.0, self._seconds_left - (loop.time() - started))

    def _end_slow(self) -> None:
        self.end(_too_slow(self._bodies.timeout))

    def end(self, error: GatewayRefusalError) -> None:
        """Receive no more of it: whoever reads it gets the error."""
        self._content.set_exception(error)
        if self.room is not None and not self.room.done():
            self.room.set_exception(error)

    def release(self) -> None:
        """Free the memory; `data` is not used any more."""
        self._bodies.release(self)
        self.data = b""


class RequestBodies:
    """The bodies that are held now, of all requests.

    Args:
        timeout: seconds in which a body must end or make progress.
        max_total_bytes: the most memory for held bodies.
        metrics: where gauges are registered.
    """

    def __init__(self, timeout: float, max_total_bytes: int, metrics: CollectorRegistry) -> None:
        self.timeout = timeout
        self.waiting: set[RequestBody] = set()
        """Those that are not there yet."""
        self._in_want: list[RequestBody] = []
        """Those that wait for memory."""
        self._giving: asyncio.Handle | None = None
        self._max_total_bytes = max_total_bytes
        self._held_bytes = 0
        waiting = Gauge(
            "universe_gateway_waiting_bodies",
            "Requests whose bodies are being received.",
            registry=metrics,
        )
        waiting.set_function(lambda: len(self.waiting))
        held = Gauge(
            "universe_gateway_body_buffer_bytes", "Memory that bodies take.", registry=metrics
        )
        held.set_function(lambda: self._held_bytes)

    async def receive(self, request: web.BaseRequest, max_bytes: int) -> bytes:
        """Return a whole body; for requests that are not proxied.

        Raises:
            GatewayRefusalError: 413, it is larger; or as `RequestBody.fill`.
        """
        if (request.content_length or 0) > max_bytes:
            raise _too_large(max_bytes)
        body = RequestBody(self, request.content)
        try:
            await body.fill(max_bytes + 1)
            if len(body.data) > max_bytes:
                raise _too_large(max_bytes)
            return body.data
        finally:
            self.release(body)

    def hold(self, body: RequestBody, size: int) -> bool:
        """Count bytes of a body as held; return False if there is no room for them."""
        if self._held_bytes + size > self._max_total_bytes:
            return False
        self._held_bytes += size
        body.held_bytes += size
        return True

    async def wait_for_room(self, body: RequestBody, size: int) -> None:
        """Count bytes of a body as held when there is room, which may be taken from others.

        Raises:
            GatewayRefusalError: there is none in time, or this body has to give way.
        """
        loop = asyncio.get_running_loop()
        body.room, body.room_bytes = loop.create_future(), size
        self._in_want.append(body)
        if self._giving is None:
            self._giving = loop.call_soon(self._give_room)
        try:
            await body.room
            body.use()
        finally:
            body.room = None
            if body in self._in_want:
                self._in_want.remove(body)

    def _give_room(self) -> None:
        """Give memory to the bodies that wait for it, again and again until none does.

        The newest is served first, and takes from older ones only. Under a flood it is the one with
        the best prospects: most of the others have stopped coming, which is not known of them yet.
        """
        now = time.monotonic()
        claims = [
            (claim, body)
            for body in self.waiting
            if body.held_bytes and (claim := body.claim(now)) is not None
        ]
        claims.sort(key=lambda each: each[0])
        worst_first = [body for _, body in claims]
        for body in sorted(self._in_want, key=lambda each: each.started, reverse=True):
            if body.room is None or body.room.done():
                continue
            if not self._make_room(body, worst_first):
                break
            body.room.set_result(None)
        for body in self._in_want:
            if body.seconds_unused(now) > MAX_ROOM_WAIT_SECONDS:
                body.end(_no_room())
        loop = asyncio.get_running_loop()
        self._giving = (
            loop.call_later(_ROOM_INTERVAL_SECONDS, self._give_room) if self._in_want else None
        )

    def _make_room(self, body: RequestBody, worst_first: list[RequestBody]) -> bool:
        """Count what a body waits for as held; for that, end older bodies where it has to be."""
        older = (each for each in worst_first if each.held_bytes and each.started < body.started)
        while not self.hold(body, body.room_bytes):
            other = next(older, None)
            if other is None:
                return False
            self.waiting.discard(other)
            self.release(other)
            other.end(_no_room() if other.room is not None else _slower_than_others())
        return True

    def release(self, body: RequestBody) -> None:
        """Count nothing of a body as held."""
        self._held_bytes -= body.held_bytes
        body.held_bytes = 0

    def end_all(self) -> None:
        """End the bodies that are not there yet: the gateway stops."""
        for body in self.waiting:
            body.end(
                GatewayRefusalError(refusals.SLOW_BODY, 503, "the gateway is stopping", close=True)
            )


BODIES = web.AppKey("bodies", RequestBodies)


def _too_slow(timeout: float) -> GatewayRefusalError:
    return GatewayRefusalError(
        refusals.SLOW_BODY,
        408,
        f"the body did not end, or bring {MIN_PROGRESS_BYTES} bytes, within {timeout:g} s",
        close=True,
    )


def _slower_than_others() -> GatewayRefusalError:
    return GatewayRefusalError(
        refusals.SLOW_BODY,
        408,
        "the body came slower than others, which needed the memory",
        close=True,
    )


def _no_room() -> GatewayRefusalError:
    return GatewayRefusalError(
        refusals.BUFFERS_FULL,
        503,
        "the gateway has no memory for the body now",
        headers={"Retry-After": "1"},
        close=True,
    )


def _too_large(max_bytes: int) -> GatewayRefusalError:
    return GatewayRefusalError(
        refusals.BODY_TOO_LARGE, 413, f"the request is too large: at most {max_bytes} bytes"
    )
