"""Runs a coroutine until it is done or interrupted."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T | None:
    """Run `main` and return its result.

    Ctrl-C or SIGTERM cancels it; None is returned once it has cleaned up. A second Ctrl-C exits at
    once; the processes that were started end with this one.
    """

    async def cancellable() -> T | None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            if task.cancelling():
                os._exit(130)
            task.cancel()

        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(cancellable())
