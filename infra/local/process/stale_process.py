"""Stale processes: servers of an earlier run that have not ended yet.

A platform that was killed stops its servers through the kernel and the reaper, which only ask them
to stop: a database may write for seconds before it exits, and uses its folder until then.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from infra.local.errors import PlatformError

logger = logging.getLogger(__name__)

WAIT_TIMEOUT = 30.0
POLL_SECONDS = 0.05


def wait_until_gone(
    name: str,
    pid_file: Path,
    is_own: Callable[[psutil.Process], bool],
    timeout: float = WAIT_TIMEOUT,
) -> bool:
    """Wait until the server that wrote a pid file has ended; return whether there was one.

    Args:
        name: names the server in messages.
        pid_file: has the process id in its first line, if it exists.
        is_own: returns whether a process is that server: process ids are used again.
        timeout: seconds to wait.

    Raises:
        PlatformError: it is still there after that time.
    """
    process = _read_process(pid_file)
    if process is None or not _is_running(process, is_own):
        return False
    logger.warning("%s of an earlier run (process %d) is still stopping", name, process.pid)
    deadline = time.monotonic() + timeout
    while _is_running(process, is_own):
        if time.monotonic() > deadline:
            raise PlatformError(
                f"{name} of an earlier run (process {process.pid}) still uses "
                f"{pid_file.parent}: stop that process, or choose another folder with STATE_DIR"
            )
        time.sleep(POLL_SECONDS)
    return True


def _read_process(pid_file: Path) -> psutil.Process | None:
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return psutil.Process(int(pid_file.read_text().splitlines()[0]))
    return None


def _is_running(process: psutil.Process, is_own: Callable[[psutil.Process], bool]) -> bool:
    try:
        # a zombie has released everything, and stays one where init does not reap orphans
        return process.status() != psutil.STATUS_ZOMBIE and is_own(process)
    except psutil.Error:  # it has ended, or belongs to another user and did not write the file
        return False
