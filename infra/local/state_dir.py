"""The state folder: one platform at a time, writable, with its secrets."""

import fcntl
import os
from pathlib import Path
from typing import IO

from infra.local.errors import PlatformError


def claim(folder: Path) -> IO[str]:
    """Make the state folder and lock it; keep what is returned open as long as it is used.

    Raises:
        PlatformError: it cannot be used, or another platform uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise PlatformError(
            f"the state folder {folder} cannot be used: {error.strerror}; "
            "choose another with STATE_DIR"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise PlatformError(
            f"another platform (process {owner}) uses the state folder {folder}: "
            "stop it, or choose another folder with STATE_DIR"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def write_secret(folder: Path, name: str, value: str) -> None:
    """Write a secret file that only its owner may read."""
    path = folder / "secrets" / name
    temporary = path.with_name(f".{name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)
    temporary.replace(path)
