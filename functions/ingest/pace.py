"""Long work on the event loop, in slices: other requests are served between them."""

import asyncio
from time import perf_counter
from types import TracebackType
from typing import Self

SLICE_SECONDS = 0.005
"""How long others wait at most."""

_long_work = asyncio.Lock()


class Pace:
    """The work of one request.

    The first slice belongs to every request. Who needs more takes turns: however many large
    requests there are, only one of them has slices, so a small one waits for one slice at a time.
    """

    def __init__(self) -> None:
        self._until = perf_counter() + SLICE_SECONDS
        self._long = False

    @property
    def due(self) -> bool:
        """Whether the slice is over."""
        return perf_counter() > self._until

    async def pause(self) -> None:
        """Let others be served."""
        if self._long:
            await asyncio.sleep(0)
        else:
            await _long_work.acquire()
            self._long = True
        self._until = perf_counter() + SLICE_SECONDS

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._long:
            _long_work.release()
