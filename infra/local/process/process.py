"""Child processes: each in a process group of its own, and none of them outlives the platform.

Three mechanisms end a child when the platform is gone: an orderly stop does it; PR_SET_PDEATHSIG
sends the child its stop signal when the platform dies, even by SIGKILL (Linux only); and the reaper
process ends what is left of its process group.
"""

import asyncio
import atexit
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.local.private_file import open_private
from infra.local.process.fork_server import PR_SET_PDEATHSIG, ForkRequest, ForkServer
from infra.local.process.logfile import LogFile
from infra.local.process.reaper import Reaper

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 * 1024
TAIL_LINES = 20
TAIL_BYTES = 64 * 1024

_libc: ctypes.CDLL | None = None
if sys.platform == "linux":
    _libc = ctypes.CDLL(None, use_errno=True)
_reaper = Reaper()
fork_server = ForkServer()
atexit.register(_reaper.close)  # the reaper process ends before this one does
atexit.register(fork_server.close)


@dataclass(frozen=True)
class Command:
    """What to run, and how it is stopped.

    Attributes:
        name: names the process in log lines.
        args: the program and its arguments.
        env: its environment; None: that of this process.
        cwd: its working directory.
        user: the user to run as; None: the user of this process.
        stop_signal: makes it stop in order.
        kill_signal: makes it stop at once.
        stop_timeout: seconds from the stop signal to the kill signal.
        orphan_timeout: the same when the platform is gone and the reaper stops the process.
    """

    name: str
    args: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path = Path("/")
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    stop_timeout: float = 30.0
    orphan_timeout: float = 8.0


class Process:
    """One run of a command. It is used from coroutines and from synchronous code alike."""

    def __init__(self, command: Command, pid: int, last_lines: Callable[[], list[str]]) -> None:
        self.command = command
        self.pid = pid
        self.started_at = time.monotonic()
        self.exited: Future[int] = Future()
        """Holds the exit status (negative: the signal that ended it) once it has ended."""
        self.exited.set_running_or_notify_cancel()  # a cancelled waiter does not cancel it
        self._last_lines = last_lines

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return not self.exited.done()

    def last_lines(self, count: int) -> list[str]:
        """Return the last `count` lines of its output, at most `TAIL_LINES`."""
        return self._last_lines()[-count:]

    async def wait(self) -> int:
        """Return the exit status once it has ended."""
        return await asyncio.wrap_future(self.exited)

    async def stop(self) -> int:
        """Stop it in order, or at once after `stop_timeout` seconds; return the exit status."""
        self.send_signal(self.command.stop_signal)
        try:
            return await asyncio.wait_for(self.wait(), self.command.stop_timeout)
        except TimeoutError:
            self._kill_after_timeout()
            return await self.wait()

    def stop_blocking(self) -> int:
        """Do what `stop` does, in synchronous code; not for processes that log to a `LogFile`."""
        self.send_signal(self.command.stop_signal)
        try:
            return self.exited.result(self.command.stop_timeout)
        except TimeoutError:
            self._kill_after_timeout()
            return self.exited.result()

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process alone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """Send the kill signal to the process group."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, self.command.kill_signal)

    def _kill_after_timeout(self) -> None:
        logger.warning(
            "%s (process %d) did not stop within %g s; killing it",
            self.command.name,
            self.pid,
            self.command.stop_timeout,
        )
        self.kill()


def spawn(command: Command, output: LogFile | Path) -> Process:
    """Start a process.

    The kernel tells a child of the death of the thread that started it, not of the process: call
    this from a thread that lives as long as the platform.

    Args:
        command: what to run.
        output: takes what the process writes. A `LogFile` takes it line by line through a pipe,
            read by the running event loop; the file at a path is written by the process itself,
            which can go on writing when the platform has been killed.

    Raises:
        OSError: it cannot be started.
    """
    if isinstance(output, LogFile):
        return _with_pipe(command, output, partial(_start_new, command))
    with open_private(output) as file:
        popen = _popen(command, file.fileno())
    process = Process(command, popen.pid, lambda: _tail(output))
    _watch(popen, process.exited.set_result)
    return process


def fork(command: Command, log: LogFile, name: str) -> Process:
    """Start a process that runs a Python program, by the fork server; else as `spawn` does.

    Args:
        command: a Python interpreter and its arguments, of an environment that `can_fork` allows.
        log: takes what the process writes.
        name: what the kernel calls the process.

    Raises:
        OSError: it cannot be started.
    """
    return _with_pipe(command, log, partial(_start_fork, command, name))


def _with_pipe(
    command: Command, log: LogFile, start: Callable[[int, Callable[[int], None]], int]
) -> Process:
    """Start a process and read its output; `start` takes that and a callback at the exit."""
    loop = asyncio.get_running_loop()

    def finish(status: int) -> None:  # in the loop, and thus after this function has returned
        try:
            reader.finish(loop)
        finally:
            os.close(output)
            process.exited.set_result(status)

    def on_exit(status: int) -> None:
        try:
            loop.call_soon_threadsafe(finish, status)
        except RuntimeError:  # the loop is closed
            process.exited.set_result(status)

    output, written_by_child = os.pipe()
    try:
        pid = start(written_by_child, on_exit)
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(written_by_child)
    reader = _OutputReader(output, command.name, log)
    process = Process(command, pid, reader.last_lines)
    reader.start(loop)
    return process


def _start_new(command: Command, stdout: int, on_exit: Callable[[int], None]) -> int:
    popen = _popen(command, stdout)
    _watch(popen, on_exit)
    return popen.pid


def _start_fork(command: Command, name: str, stdout: int, on_exit: Callable[[int], None]) -> int:
    def ended(exited: Future[int]) -> None:
        _reaper.forget(pid)
        on_exit(exited.result())

    _, *arguments = command.args
    request = ForkRequest(
        name, arguments, dict(command.env or os.environ), str(command.cwd), command.stop_signal
    )
    pid, exited = fork_server.fork(request, stdout)
    _reaper.watch(pid, command.stop_signal, command.kill_signal, command.orphan_timeout)
    exited.add_done_callback(ended)
    return pid


def _popen(command: Command, stdout: int) -> subprocess.Popen[bytes]:
    popen = subprocess.Popen(
        command.args,
        env=None if command.env is None else dict(command.env),
        cwd=command.cwd,
        user=command.user,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches the platform, which stops its processes in order
        preexec_fn=_die_with_parent(command.stop_signal),
    )
    _reaper.watch(popen.pid, command.stop_signal, command.kill_signal, command.orphan_timeout)
    return popen


def _die_with_parent(signum: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that sends the child `signum` when its parent thread dies."""
    parent = os.getpid()

    def set_death_signal() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(signum))
            if os.getppid() != parent:  # it died before the call
                os.kill(os.getpid(), signum)

    return set_death_signal


def _watch(popen: subprocess.Popen[bytes], on_exit: Callable[[int], None]) -> None:
    """Call `on_exit` with the exit status, in a thread, when the process has ended."""

    def wait() -> None:
        if hasattr(os, "waitid"):
            # while it is not reaped, its id, which names the group, cannot be taken by another
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        else:
            popen.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)
        _reaper.forget(popen.pid)
        on_exit(popen.wait())

    threading.Thread(target=wait, name=f"wait-{popen.pid}", daemon=True).start()


def _tail(file: Path) -> list[str]:
    with file.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
        return stream.read().decode(errors="replace").splitlines()[-TAIL_LINES:]


class _OutputReader:
    """Reads the output pipe of a process and passes complete lines to its log."""

    def __init__(self, fd: int, name: str, log: LogFile) -> None:
        self._fd, self._name, self._log = fd, name, log
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._open = True
        os.set_blocking(fd, False)

    def last_lines(self) -> list[str]:
        return list(self._tail)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._fd, self._read, loop)

    def finish(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read what is left after the process has ended."""
        while self._open and self._read(loop):
            pass
        self._close(loop)
        if self._rest:
            self._write([self._rest])
            self._rest = b""

    def _read(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(loop)
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._write(lines)
        return True

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._open:
            self._open = False
            loop.remove_reader(self._fd)

    def _write(self, lines: list[bytes]) -> None:
        self._log.write(self._name, lines)
        self._tail.extend(line.decode(errors="replace") for line in lines[-TAIL_LINES:])
