"""Files that only their owner may read."""

import os
from pathlib import Path
from typing import BinaryIO, Literal


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step by one that only its owner may read."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # with the mode that an interrupted write gave it
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def open_private(path: Path, mode: Literal["ab", "wb"] = "ab") -> BinaryIO:
    """Open a file for appending, or anew, that only its owner may read from now on."""
    flag = os.O_APPEND if mode == "ab" else os.O_TRUNC
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, mode)
