"""Servers of an earlier run that are still on their way out.

A platform that was killed takes its servers with it, but the kernel only tells them to stop: a
database may write for seconds before it is gone, and its folder is its own until then.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.local.errors import PlatformError

log = logging.getLogger(__name__)

WAIT_SECONDS = 30.0


def wait_until_gone(
    name: str,
    pid_file: Path,
    is_it: Callable[[psutil.Process], bool],
    seconds: float = WAIT_SECONDS,
) -> bool:
    """Wait until the server that wrote a pid file is gone; return whether there was any.

    Args:
        name: what users are told of it.
        pid_file: has the process id in its first line, if it is there at all.
        is_it: tells whether a process is that server: ids of processes are used again.
        seconds: how long to wait.

    Raises:
        PlatformError: it is still there after that time.
    """
    process = _process(pid_file)
    if process is None or not _runs(process, is_it):
        return False
    log.warning("%s of an earlier run (process %d) is still stopping", name, process.pid)
    deadline = time.monotonic() + seconds
    while _runs(process, is_it):
        if time.monotonic() > deadline:
            raise PlatformError(
                f"{name} of an earlier run (process {process.pid}) still uses "
                f"{pid_file.parent}: stop that process, or choose another folder with STATE_DIR"
            )
        time.sleep(0.05)
    return True


def _process(pid_file: Path) -> psutil.Process | None:
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return psutil.Process(int(pid_file.read_text().splitlines()[0]))
    return None


def _runs(process: psutil.Process, is_it: Callable[[psutil.Process], bool]) -> bool:
    try:
        # a zombie has let go of everything, and may stay one where nobody waits for orphans
        return process.status() != psutil.STATUS_ZOMBIE and is_it(process)
    except psutil.Error:  # gone meanwhile, or another user's, which is not what wrote the file
        return False
