"""Ends the platform's process groups when the platform is gone, even if it was killed.

The platform starts this file as a process of its own and keeps the other end of its standard
input. It writes `+PID` for each process group it starts and `-PID` for each that has ended. The
end of the input means that the platform is gone: the groups that are left get SIGTERM, and SIGKILL
if they are still there some seconds later. PR_SET_PDEATHSIG alone does not do: it reaches a
server's main process, not the workers that this one has forked.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

TERM_SECONDS = 8.0


class Reaper:
    """The platform's side: one helper process that outlives it only to clean up."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int) -> None:
        """End the process group when the platform ends without doing so."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                bufsize=0,
            )
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """The process group has ended."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Let the helper process end what is left and exit."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()

    def _tell(self, text: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(text.encode())


def _signal(groups: set[int], signum: int) -> set[int]:
    """Signal the groups; return those that are still there."""
    left = set()
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signum)
            left.add(group)
    return left


def main() -> None:
    """Collect groups until the input ends, then end them."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    groups = _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + TERM_SECONDS
    while groups and time.monotonic() < deadline:
        time.sleep(0.05)
        groups = _signal(groups, 0)
    _signal(groups, signal.SIGKILL)


if __name__ == "__main__":
    main()
