"""Bounded log files of functions and services, which can be followed."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from infra.local.private_file import open_private

_FOLLOWER_QUEUE = 10_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a process wrote."""

    time: datetime
    instance: str
    text: str


class LogFile:
    """Lines of all instances of one function, in the order they were written.

    `path` is rotated to `path` + `.1` at `max_bytes`, so at most twice that is kept. A line is
    `<RFC 3339 time> <instance> <text>`.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._followers: set[asyncio.Queue[LogLine | None]] = set()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = open_private(path)
        self._size = self._file.tell()

    def write(self, instance: str, lines: list[bytes]) -> None:
        """Store lines that an instance has just written."""
        now = datetime.now(UTC)
        stamp = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        prefix = f"{stamp} {instance} ".encode()
        block = b"".join(prefix + line + b"\n" for line in lines)
        with suppress(OSError, ValueError):  # a full disk must not stop the functions
            if self._size + len(block) > self._max_bytes:
                self._rotate()
            self._file.write(block)
            self._file.flush()
            self._size += len(block)
        if self._followers:
            for line in lines:
                message = LogLine(now, instance, line.decode(errors="replace"))
                for queue in self._followers:
                    with suppress(asyncio.QueueFull):  # a slow follower misses lines
                        queue.put_nowait(message)

    def follow(self) -> "asyncio.Queue[LogLine | None]":
        """Return a queue that gets each line written from now on, until `unfollow`.

        None in it means that no more lines follow.
        """
        queue: asyncio.Queue[LogLine | None] = asyncio.Queue(_FOLLOWER_QUEUE)
        self._followers.add(queue)
        return queue

    def unfollow(self, queue: "asyncio.Queue[LogLine | None]") -> None:
        """Stop feeding the queue."""
        self._followers.discard(queue)

    def end_followers(self) -> None:
        """End all followers."""
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    def stored(self) -> "StoredLines":
        """Return the lines stored so far, which any thread may read."""
        rotated = self.path.with_name(self.path.name + ".1")
        files = [path.open("rb") for path in (rotated, self.path) if path.exists()]
        return StoredLines(files, [os.fstat(file.fileno()).st_size for file in files])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = open_private(self.path)
        self._size = 0


@dataclass
class StoredLines:
    """The stored lines at one moment."""

    _files: Sequence[BinaryIO]
    _sizes: Sequence[int]

    def read(self, since: datetime | None = None, instance: str = "") -> Iterator[LogLine]:
        """Yield the lines, oldest first, once.

        Args:
            since: leave out those before.
            instance: only lines of this one.
        """
        for file, size in zip(self._files, self._sizes, strict=True):
            with file:
                left = size
                for raw in file:
                    left -= len(raw)
                    if left < 0:
                        break
                    line = _parse(raw)
                    if (
                        line
                        and (not since or line.time >= since)
                        and instance in {"", line.instance}
                    ):
                        yield line


def _parse(raw: bytes) -> LogLine | None:
    parts = raw.rstrip(b"\n").decode(errors="replace").split(" ", 2)
    try:
        return LogLine(datetime.fromisoformat(parts[0]), parts[1], parts[2])
    except (ValueError, IndexError):
        return None
