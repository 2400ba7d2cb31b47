"""Keeps a process running: a server, the connector, the exporter.

The replicas of a function run through the same `spawn`; how many of them there shall be, and when
one is started again, is decided by their function.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from functions.common.backoff import Backoff
from infra.local.process.process import Process

logger = logging.getLogger(__name__)

RESTART_BACKOFF = Backoff.exponential(0.25, 30.0, jitter=0.0)
STABLE_SECONDS = 10.0
"""A run that lasted so long resets the backoff."""


class Supervisor:
    """Starts one process, and starts it again with backoff whenever it ends."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[Process]],
        backoff: Backoff = RESTART_BACKOFF,
    ) -> None:
        """Supervise a process that is not started yet.

        Args:
            name: names the process in log lines.
            start: starts it, and returns it once it serves.
            backoff: seconds between an exit and the next start.
        """
        self._name = name
        self._start = start
        self._backoff = backoff
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process, and keep it running until `stop`.

        Raises:
            OSError, PlatformError: the first start failed.
        """
        self._process = await self._start()
        self._task = asyncio.create_task(
            self._supervise(self._process), name=f"supervise {self._name}"
        )

    async def stop(self) -> None:
        """Stop the process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            await self._process.stop()

    async def _supervise(self, process: Process) -> None:
        failures = 0
        while True:
            status = await process.wait()
            lasted = time.monotonic() - process.started_at
            failures = 1 if lasted >= STABLE_SECONDS else failures + 1
            logger.error(
                "%s exited with status %d; restarting in %.1f s",
                self._name,
                status,
                self._backoff.delay(failures),
                extra={"lastLines": process.last_lines(5)},
            )
            process = await self._restart(failures)

    async def _restart(self, failures: int) -> Process:
        while True:
            await asyncio.sleep(self._backoff.delay(failures))
            try:
                self._process = await self._start()
            except Exception:  # such as a full disk; the next attempt may succeed
                failures += 1
                logger.exception(
                    "%s cannot be started; next attempt in %.1f s",
                    self._name,
                    self._backoff.delay(failures),
                )
            else:
                return self._process
