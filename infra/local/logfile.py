"""Bounded log files of functions and servers, to which others can listen."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_FOLLOWER_QUEUE = 10_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a process wrote."""

    time: datetime
    instance: str
    text: str


class LogFile:
    """Lines of all instances of one function, in the order they came.

    `path` is rotated to `path` + `.1` at `max_bytes`, so at most twice that is kept. A stored line
    is `<RFC 3339 time> <instance> <text>`.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._followers: set[asyncio.Queue[LogLine]] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._size = self._file.tell()

    def write(self, instance: str, lines: list[bytes]) -> None:
        """Store lines that came now from an instance."""
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
                    with suppress(asyncio.QueueFull):  # who reads too slowly misses lines
                        queue.put_nowait(message)

    def follow(self) -> asyncio.Queue[LogLine]:
        """Return a queue that gets each line written from now on, until `unfollow`."""
        queue: asyncio.Queue[LogLine] = asyncio.Queue(_FOLLOWER_QUEUE)
        self._followers.add(queue)
        return queue

    def unfollow(self, queue: asyncio.Queue[LogLine]) -> None:
        """Stop feeding the queue."""
        self._followers.discard(queue)

    def read(self) -> Iterator[LogLine]:
        """Yield the stored lines, oldest first."""
        for path in (self.path.with_name(self.path.name + ".1"), self.path):
            with suppress(FileNotFoundError), path.open("rb") as file:
                for raw in file:
                    line = _parse(raw)
                    if line:
                        yield line

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab")
        self._size = 0


def _parse(raw: bytes) -> LogLine | None:
    parts = raw.rstrip(b"\n").decode(errors="replace").split(" ", 2)
    try:
        return LogLine(datetime.fromisoformat(parts[0]), parts[1], parts[2])
    except (ValueError, IndexError):
        return None
