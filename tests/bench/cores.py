"""What a second core of this machine is worth just now."""

import subprocess
import sys

_LOOP = """
import time
end = time.perf_counter() + 0.4
rounds = 0
while time.perf_counter() < end:
    for _ in range(1000):
        pass
    rounds += 1
print(rounds)
"""


def two_cores() -> float:
    """Return how much two processes get done beside each other, as a multiple of one alone.

    2 where both have a core of their own. Less where a virtual machine's cores are two threads of
    one, or its neighbours are busy: then a program and its database server slow each other down,
    and a second replica has nowhere to run.
    """
    (alone,) = _rounds(1)
    return round(sum(_rounds(2)) / alone, 2)


def _rounds(processes: int) -> list[int]:
    command = [sys.executable, "-S", "-c", _LOOP]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    return [int(process.communicate()[0]) for process in running]
