"""Processor time of each part of a service, from the tree of its processes."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
FUNCTIONS = ("ingest", "process-batch", "analytics-query")
"""What the kernel calls replicas that are forks; those of earlier revisions are found by their
environment."""

Part = Callable[[str, str, Mapping[str, str]], str | None]
"""Names the part a process belongs to, from what the kernel calls it, its command line and its
environment; None: the part of its parent."""


@dataclass(frozen=True)
class _Process:
    """A process at one moment: seconds of its own, and of its children that have ended."""

    parent: int
    own: float
    ended: float


@dataclass(frozen=True)
class Snapshot:
    """The processes of a service at one moment, by process id, and which part each belongs to."""

    processes: dict[int, _Process]
    parts: dict[int, str]

    def since(self, before: "Snapshot") -> dict[str, float]:
        """Return the seconds of processor time that each part took since another snapshot."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for pid, part in self.parts.items():
            earlier = before.processes.get(pid)
            seconds[part] += self._of(pid) - (before._of(pid) if earlier else 0.0)
        for pid, part in before.parts.items():
            # what a process that has ended took is in its parent's `ended` now
            parent = before.processes[pid].parent
            if pid not in self.parts and self.parts.get(parent) == part:
                seconds[part] -= before._of(pid)
        return seconds

    def _of(self, pid: int) -> float:
        process = self.processes[pid]
        # the children of the root that have ended belonged to other parts: what they took is lost
        is_root = process.parent not in self.parts
        return process.own + (0.0 if is_root else process.ended)


class Tree:
    """The processes below one process, by part."""

    def __init__(self, root: int, root_part: str, part: Part) -> None:
        """Watch a tree.

        Args:
            root: the process at its root.
            root_part: the part that it belongs to.
            part: names the part of the others.
        """
        self._root = root
        self._root_part = root_part
        self._part = part
        self._known: dict[int, str] = {}

    def snapshot(self) -> Snapshot:
        """Look at the processes."""
        everything = dict(filter(None, map(_read, Path("/proc").iterdir())))
        children: dict[int, list[int]] = {}
        for pid, process in everything.items():
            children.setdefault(process.parent, []).append(pid)
        parts = {self._root: self._root_part}
        pending = [self._root]
        while pending:
            parent = pending.pop()
            for pid in children.get(parent, ()):
                part = self._known.get(pid) or self._name(pid)
                if part:
                    self._known[pid] = part
                parts[pid] = part or parts[parent]
                pending.append(pid)
        return Snapshot({pid: everything[pid] for pid in parts if pid in everything}, parts)

    def _name(self, pid: int) -> str | None:
        folder = Path(f"/proc/{pid}")
        try:
            name = (folder / "comm").read_text().rstrip("\n")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            pairs = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return None
        return self._part(name, command, dict(pair.split("=", 1) for pair in pairs if "=" in pair))


def _read(folder: Path) -> tuple[int, _Process] | None:
    if not folder.name.isdecimal():
        return None
    try:
        text = (folder / "stat").read_text()
    except OSError:  # it has ended
        return None
    fields = text.rpartition(")")[2].split()
    own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return int(folder.name), _Process(int(fields[1]), own / _TICKS, ended / _TICKS)


def platform_part(name: str, command: str, environment: Mapping[str, str]) -> str | None:
    """Name the part of the platform that a process is."""
    if name in FUNCTIONS:
        return name
    if module := environment.get("FUNCTION_MODULE"):
        return module.split(".")[1].replace("_", "-")
    return _named(
        command,
        {
            "nats-server": "NATS",
            "/bin/postgres": "PostgreSQL",
            "infra.connector": "connector",
            "infra.monitoring.exporter": "exporter",
        },
    )


def usual_part(_name: str, command: str, _environment: Mapping[str, str]) -> str | None:
    """Name the part of the usual service that a process is."""
    return _named(
        command,
        {
            "nats-server": "NATS",
            "/bin/postgres": "PostgreSQL",
            "tests.bench.usual.api": "api",
            "tests.bench.usual.worker": "worker",
        },
    )


def _named(command: str, names: Mapping[str, str]) -> str | None:
    return next((name for mark, name in names.items() if mark in command), None)
