"""Ends the platform's process groups when the platform is gone, even if it was killed.

The platform starts this file as a process of its own and keeps the other end of its standard input.
It writes `+PID STOP_SIGNAL KILL_SIGNAL SECONDS` for each process group that it starts, and `-PID`
for each that has ended. The end of the input means that the platform is gone: the groups that are
left get their stop signal, and their kill signal after so many seconds. PR_SET_PDEATHSIG alone is
not enough: it reaches a server's main process, not the workers that this one has forked, and exists
on Linux only.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

KILL_TIMEOUT = 5.0
"""Seconds from the kill signal until a group that is still there gets SIGKILL."""


class Reaper:
    """The platform's side: one helper process that outlives the platform only to clean up."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def watch(
        self, pid: int, stop_signal: signal.Signals, kill_signal: signal.Signals, timeout: float
    ) -> None:
        """End the process group if the platform ends without doing so."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    bufsize=0,
                )
        self._write(f"+{pid} {stop_signal:d} {kill_signal:d} {timeout}\n")

    def forget(self, pid: int) -> None:
        """Take note that the process group has ended."""
        self._write(f"-{pid}\n")

    def close(self) -> None:
        """Let the helper process end what is left and exit."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()

    def _write(self, text: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(text.encode())


@dataclass(frozen=True)
class _ProcessGroup:
    pid: int
    stop_signal: int
    kill_signal: int
    timeout: float

    def send(self, signum: int) -> bool:
        """Signal the group; return whether it is still there."""
        try:
            os.killpg(self.pid, signum)
        except (ProcessLookupError, PermissionError):  # gone; the id may be another user's now
            return False
        return True


def main() -> None:
    """Collect groups until the input ends, then end them."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    groups: dict[int, _ProcessGroup] = {}
    for line in sys.stdin:
        pid, *rest = line[1:].split()
        if line[0] == "+":
            groups[int(pid)] = _ProcessGroup(int(pid), int(rest[0]), int(rest[1]), float(rest[2]))
        else:
            groups.pop(int(pid), None)
    _end(list(groups.values()))


def _end(groups: list[_ProcessGroup]) -> None:
    started = time.monotonic()
    killed: set[int] = set()
    left = [group for group in groups if group.send(group.stop_signal)]
    while left:
        time.sleep(0.05)
        left = [group for group in left if group.send(0)]
        elapsed = time.monotonic() - started
        for group in list(left):
            if elapsed > group.timeout + KILL_TIMEOUT:
                group.send(signal.SIGKILL)
                left.remove(group)
            elif elapsed > group.timeout and group.pid not in killed:
                killed.add(group.pid)
                group.send(group.kill_signal)


if __name__ == "__main__":
    main()
