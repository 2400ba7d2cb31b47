"""How much work a process does, without a clock: the calls of functions that it makes."""

import struct
from pathlib import Path

from functions.common.paths import ROOT

COUNTING = Path(__file__).parent / "counting"


class Operations:
    """Counts the calls of Python and C functions of a process, its children and its threads.

    Busy machines and fast ones count the same, and versions of Python nearly so. What a function in
    C does inside counts nothing.
    """

    def __init__(self, file: Path) -> None:
        """Count into a file, which is made."""
        self._file = file
        file.write_bytes(bytes(8))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a Python program count."""
        return {"OPERATIONS_FILE": str(self._file), "PYTHONPATH": f"{COUNTING}:{ROOT}"}

    @property
    def count(self) -> int:
        """How many there were so far."""
        return struct.unpack("q", self._file.read_bytes())[0]
