"""Files that only their owner may read."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step by one that only its owner may read."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # with the mode that an interrupted write gave it
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
