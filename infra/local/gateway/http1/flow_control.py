"""Waiting until the peer of a connection has received most of what was sent."""

import asyncio


class FlowControl(asyncio.Protocol):
    """The part of a connection that knows whether its peer keeps up with what is written."""

    __slots__ = ("_drain_waiter", "_loop", "_write_paused")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._drain_waiter: asyncio.Future[None] | None = None
        self._write_paused = False

    async def _wait_for_room(self) -> None:
        if self._write_paused:
            self._drain_waiter = self._loop.create_future()
            await self._drain_waiter

    def _wake_writer(self) -> None:
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    # asyncio.Protocol

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._wake_writer()
