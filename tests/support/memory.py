"""What a function's processes took."""

import re
from pathlib import Path

import psutil

from tests.support.functions import Function


def peak_bytes(function: Function) -> int:
    """Return the most memory that one of the function's processes ever had resident."""
    peaks = [_peak(each.pid) for each in _processes(function)]
    assert any(peaks)
    return max(peaks)


def processor_seconds(function: Function) -> float:
    """Return the processor time of the function's processes so far."""
    times = [each.cpu_times() for each in _processes(function)]
    return sum(each.user + each.system for each in times)


def _processes(function: Function) -> list[psutil.Process]:
    parent = psutil.Process(function.process.pid)
    return [parent, *parent.children(recursive=True)]


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
