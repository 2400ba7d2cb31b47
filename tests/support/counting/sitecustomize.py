"""Counts the calls of Python and C functions that a process makes, from its start.

Python imports this by its name where the folder is on the path. The number is kept in a file,
mapped into memory, that other processes read while this one runs (`tests.support.operations`).
"""

import mmap
import os
import sys
import threading
from pathlib import Path

if _file := os.environ.get("OPERATIONS_FILE"):
    with Path(_file).open("r+b") as _opened:
        _counted = memoryview(mmap.mmap(_opened.fileno(), 8)).cast("q")

    def _count(_frame: object, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            _counted[0] += 1

    threading.setprofile(_count)
    sys.setprofile(_count)
