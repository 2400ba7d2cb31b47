"""What the embedded servers have in common: a folder, a port that stays, start and stop."""

import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil

from infra.local.errors import PlatformError
from infra.local.process.process import Command, Process, spawn
from infra.local.process.stale_process import wait_until_gone
from infra.local.servers.ports import free_port, is_free

READY_POLL_SECONDS = 0.02


class EmbeddedServer(ABC):
    """A server on the loopback interface that runs as a child of this process.

    `start`, `stop` and `kill` block: tests use them without an event loop, and the platform starts
    a server in a thread of its own.
    """

    name: str
    """Names the server in messages."""
    start_timeout: float
    """Seconds until the server must take connections."""

    def __init__(self, folder: Path, port: int | None, log_name: str) -> None:
        """Create a server that is not started yet.

        Args:
            folder: holds its data, its log and its port.
            port: where it listens; None: the port of its last run if that is free, else any.
            log_name: the name of its log file.
        """
        self.folder = folder
        self.log_file = folder / log_name
        self._fixed_port = port
        self.port = port or self._last_port() or free_port()
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The id of its process while it runs."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def start(self) -> Process:
        """Start the server and wait until it takes connections.

        Raises:
            PlatformError: it did not start; the message has the last line of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if wait_until_gone(self.name, self._pid_file(), self._is_own):
            # the stale process held the port when this server chose one
            self.port = self._fixed_port or self._last_port() or self.port
        command = self._prepare()
        self._port_file.write_text(str(self.port))
        process = self._process = spawn(command, self.log_file)
        deadline = time.monotonic() + self.start_timeout
        while not self._is_ready():
            if not process.alive or time.monotonic() > deadline:
                self.kill()
                last_line = (process.last_lines(1) or ["no output"])[0]
                raise PlatformError(
                    f"{self.name} did not start: {last_line} (log: {self.log_file})"
                )
            time.sleep(READY_POLL_SECONDS)
        return process

    def stop(self) -> None:
        """Stop the server in order."""
        process, self._process = self._process, None
        if process is not None:
            process.stop_blocking()

    def kill(self) -> None:
        """Stop the server at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.exited.result()

    @abstractmethod
    def _pid_file(self) -> Path:
        """Return the file that holds the id of the server's process in its first line."""

    @abstractmethod
    def _is_own(self, process: psutil.Process) -> bool:
        """Return whether a process is a server with this folder: process ids are used again."""

    @abstractmethod
    def _prepare(self) -> Command:
        """Write what the server needs to start, and return its command."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether the server takes connections."""

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    def _last_port(self) -> int | None:
        """Return the port of the last run, so that clients find the server after a restart."""
        try:
            port = int(self._port_file.read_text())
        except (OSError, ValueError):
            return None
        return port if is_free(port) else None
