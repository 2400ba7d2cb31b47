"""Processes that do not outlive the one that started them."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signum: int = signal.SIGKILL) -> Callable[[], None]:
    """Return a `preexec_fn` with which a child gets `signum` when its parent thread dies.

    Linux only (`prctl(2)`, PR_SET_PDEATHSIG); elsewhere it does nothing. Start such a child from
    a thread that lives as long as the process.
    """
    parent = os.getpid()

    def arm() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(signum))
            if os.getppid() != parent:  # it died before the call
                os.kill(os.getpid(), signum)

    return arm
