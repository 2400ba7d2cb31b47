"""Processes that end with the test run, also when it is killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

from functions.common.paths import ROOT
from infra.local import environment
from infra.local.process.fork_server import ForkRequest
from infra.local.process.process import fork_server
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


class ForkedProcess:
    """A Python program in a fork of the fork server, with what tests use of `TiedProcess`.

    Args:
        arguments: those of the interpreter.
        env: its environment.
        output: the descriptor of what takes its output and its errors.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], output: int) -> None:
        request = ForkRequest("tested", arguments, dict(env), str(ROOT), SIGTERM)
        self.pid, self._exited = fork_server.fork(request, output)
        _reaper.watch(self.pid, SIGTERM, SIGKILL, STOP_SECONDS)
        self._exited.add_done_callback(lambda _: _reaper.forget(self.pid))

    @property
    def returncode(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._exited.result() if self._exited.done() else None

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status."""
        try:
            return self._exited.result(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0) from None

    def send_signal(self, signum: int) -> None:
        """Send it a signal, if it still runs."""
        if not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start_python(
    arguments: Sequence[str], env: Mapping[str, str], output: int
) -> ForkedProcess | TiedProcess:
    """Start a Python program of this repository: in a fork, which saves its imports, if it may be.

    Args:
        arguments: those of the interpreter.
        env: its environment besides what a child of the platform inherits.
        output: the descriptor of what takes its output and its errors.
    """
    variables = {**environment.inherited(), "PYTHONPATH": str(ROOT), **env}
    fork_server.start(environment.inherited(), "tests")
    # where calls are counted, all of a process is: Python itself has to start with it
    if "OPERATIONS_FILE" not in env and fork_server.can_fork(variables):
        return ForkedProcess(arguments, variables, output)
    return TiedProcess(
        [sys.executable, *arguments], env=variables, cwd=ROOT, stdout=output, stderr=output
    )
