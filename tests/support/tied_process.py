"""Processes that end with the test run, also when it is killed."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from infra.local.process.reaper import Reaper

STOP_SECONDS = 5.0
"""From the stop signal to the kill signal, for what a killed run leaves."""

_reaper = Reaper()


class TiedProcess(subprocess.Popen[Any]):
    """A process whose group gets SIGTERM, and SIGKILL after it, when this process is gone."""

    def __init__(self, arguments: Sequence[str | Path], **options: Any) -> None:
        super().__init__(arguments, start_new_session=True, **options)
        _reaper.watch(self.pid, SIGTERM, SIGKILL, STOP_SECONDS)

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""
        return self._ended(super().poll())

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status."""
        status = super().wait(timeout)
        self._ended(status)
        return status

    def _ended(self, status: int | None) -> int | None:
        if status is not None:
            _reaper.forget(self.pid)
        return status
