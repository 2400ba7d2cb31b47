"""The body of a request as it is received: what has come of it and has not been read yet."""

import asyncio
from collections.abc import Callable

READ_BUFFER_BYTES = 64 * 1024
"""Of each request; what lies there unread, or is read at a time, may be a few times as much."""


class Content:
    """A body on its way. It has the methods of aiohttp's `StreamReader` that `RequestBody` uses.

    Attributes:
        total_bytes: how much has come.
    """

    __slots__ = (
        "_discarded", "_eof", "_error", "_parts", "_set_reading", "_size", "_waiter", "total_bytes",
    )  # fmt: skip

    def __init__(self, set_reading: Callable[[bool], None]) -> None:
        """Begin a body.

        Args:
            set_reading: stops and goes on reading from the client.
        """
        self._set_reading = set_reading
        self._parts: list[bytes] = []
        self._size = 0
        self._eof = self._discarded = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.total_bytes = 0

    def is_eof(self) -> bool:
        """Return whether all of it has come."""
        return self._eof

    def exception(self) -> Exception | None:
        """Return why no more of it will come, if so."""
        return self._error

    def read_nowait(self) -> bytes:
        """Return what has come."""
        parts, self._parts = self._parts, []
        if self._size > READ_BUFFER_BYTES:
            self._set_reading(True)
        self._size = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def readany(self) -> bytes:
        """Return what has come as soon as there is any; empty at the end of the body.

        Raises:
            Exception: what `set_exception` was given.
        """
        while not self._parts and not self._eof and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error
        return self.read_nowait()

    def set_exception(self, exc: Exception) -> None:
        """Let whoever reads get an error; what comes from now on is dropped."""
        self._error = exc
        self.discard()
        self._wake()

    def discard(self) -> None:
        """Drop what has come and what will."""
        self._discarded = True
        self.read_nowait()

    def feed(self, data: bytes) -> None:
        """Take a part that has come."""
        self.total_bytes += len(data)
        if self._discarded:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > READ_BUFFER_BYTES:
            self._set_reading(False)
        self._wake()

    def feed_eof(self) -> None:
        """Note that all of it has come."""
        self._eof = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
