"""Supervised child processes: own process group, captured output, never left behind."""

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.process.logfile import LogFile
from infra.local.process.parent_death import die_with_parent
from infra.local.process.reaper import Reaper

logger = logging.getLogger(__name__)

_MAX_LINE = 64 * 1024
_TAIL_LINES = 20
_reaper = Reaper()
atexit.register(_reaper.close)  # so that its process has ended before this one


@dataclass(frozen=True)
class Command:
    """What to run."""

    args: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    name: str = ""
    """Names the process in log lines."""


@dataclass(eq=False)
class ManagedProcess:
    """One run of a command, in its own session, so Ctrl-C does not reach it.

    When the platform dies, even by SIGKILL, the process gets SIGTERM from the kernel and its whole
    group is ended by the reaper. When the process itself ends, what is left of its group is killed.
    """

    pid: int
    exited: "asyncio.Future[int]"
    """Its exit status (negative: the signal that ended it) once it has ended."""
    started_at: float
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    """The last lines it wrote."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return not self.exited.done()

    def signal(self, signum: int) -> None:
        """Send a signal to the process alone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """Kill the whole process group."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, limit: float) -> int:
        """Send SIGTERM, kill the group after `limit` seconds, and return the exit status."""
        self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(asyncio.shield(self.exited), limit)
        except TimeoutError:
            logger.warning("process %d did not exit on SIGTERM, killing it", self.pid)
            self.kill()
            return await self.exited


def start_process(command: Command, log: LogFile) -> ManagedProcess:
    """Start a process whose output goes line by line to `log`.

    Call it from the main thread: a child is told of the death of the thread that made it.

    Raises:
        OSError: it cannot be started.
    """
    loop = asyncio.get_running_loop()
    popen = subprocess.Popen(
        command.args,
        env=dict(command.env),
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    _reaper.watch(popen.pid)
    process = ManagedProcess(popen.pid, loop.create_future(), time.monotonic())
    assert popen.stdout is not None
    output = _Output(popen.stdout.fileno(), command.name, log, process.tail)
    output.listen(loop)

    def finished(status: int) -> None:
        output.finish(loop)
        assert popen.stdout is not None
        popen.stdout.close()
        if not process.exited.done():
            process.exited.set_result(status)

    def wait() -> None:
        if hasattr(os, "waitid"):
            # While it is not reaped its id, which names the group, cannot be taken by another.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        else:
            popen.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)
        _reaper.forget(popen.pid)
        status = popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finished, status)

    threading.Thread(target=wait, name=f"wait-{popen.pid}", daemon=True).start()
    return process


class _Output:
    """Reads a process's output pipe and hands complete lines to its log."""

    def __init__(self, fd: int, name: str, log: LogFile, tail: deque[str]) -> None:
        self._fd, self._name, self._log, self._tail = fd, name, log, tail
        self._rest = b""
        self._open = True
        os.set_blocking(fd, False)

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._fd, self._readable, loop)

    def _readable(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Read once; tell whether there may be more."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            if self._open:
                self._open = False
                loop.remove_reader(self._fd)
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._write(lines)
        return True

    def _write(self, lines: list[bytes]) -> None:
        self._log.write(self._name, lines)
        self._tail.extend(line.decode(errors="replace") for line in lines[-_TAIL_LINES:])

    def finish(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read what is left after the process has ended."""
        while self._open and self._readable(loop):
            pass
        if self._open:
            self._open = False
            loop.remove_reader(self._fd)
        if self._rest:
            self._write([self._rest])
            self._rest = b""


@dataclass(frozen=True)
class Backoff:
    """Delays between restarts: doubled from `first` up to `limit`, in seconds."""

    first: float = 0.25
    limit: float = 30.0
    stable_after: float = 10.0
    """A run that lasted so long starts the count anew."""

    def delay(self, failures: int) -> float:
        """Return the delay after so many failures in a row."""
        return min(self.limit, self.first * 2 ** min(failures - 1, 30)) if failures else 0.0


class Supervisor:
    """Keeps one process running: a server, the connector. Restarts it with backoff."""

    def __init__(self, command: Command, log: LogFile, backoff: Backoff | None = None) -> None:
        self.command = command
        self.log = log
        self.restarts = 0
        self._backoff = backoff or Backoff()
        self._process: ManagedProcess | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def process(self) -> ManagedProcess | None:
        """The present run, or None between two."""
        return self._process if self._process is not None and self._process.alive else None

    async def start(self) -> None:
        """Start the process and keep it running until `stop`.

        Raises:
            OSError: it cannot be started.
        """
        self._process = start_process(self.command, self.log)
        self._task = asyncio.create_task(self._keep(), name=f"supervise {self.command.name}")

    async def stop(self, limit: float = 30.0) -> None:
        """Stop it: SIGTERM, then SIGKILL to its group after `limit` seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            await self._process.stop(limit)

    async def _keep(self) -> None:
        failures = 0
        while True:
            process = self._process
            assert process is not None
            status = await asyncio.shield(process.exited)
            lasted = time.monotonic() - process.started_at
            failures = 1 if lasted >= self._backoff.stable_after else failures + 1
            delay = self._backoff.delay(failures)
            logger.error(
                "%s exited with status %d, restarting in %.1f s",
                self.command.name,
                status,
                delay,
                extra={"lastLines": list(process.tail)[-5:]},
            )
            await asyncio.sleep(delay)
            self.restarts += 1
            try:
                self._process = start_process(self.command, self.log)
            except OSError:
                logger.exception("%s cannot be started", self.command.name)
