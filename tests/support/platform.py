"""A whole platform as a user starts it, in a state folder and on a port of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from infra.cli.commands.status import status
from tests.support.commands import invoke
from tests.support.net import free_port, plain_http, wait_until
from tests.support.tied_process import TiedProcess

UNIVERSE = Path(sys.executable).parent / "universe"


class RunningPlatform:
    """`universe up`, or a way to run other commands of `universe` beside it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.state_dir = folder / "state"
        self.port = free_port()
        self.log = folder / "up.log"
        self.environment = environment
        self.process: TiedProcess | None = None

    @property
    def gateway(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ingest(self) -> str:
        """Where events are posted."""
        return f"{self.gateway}/function/ingest/webhook/event"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands."""
        return {
            **os.environ,
            "STATE_DIR": str(self.state_dir),
            "GATEWAY_PORT": str(self.port),
            **self.environment,
        }

    def start(self) -> None:
        """Start it and wait until it says that it is up."""
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = TiedProcess(
                [str(UNIVERSE), "up"], env=self.variables, stdout=log, stderr=log
            )

        def is_up() -> bool:
            said = self.log.read_bytes()[begin:].decode()
            assert self.process is not None
            assert self.process.poll() is None, f"it ended: {said}"
            return "Universe is up" in said

        wait_until(is_up, 90)

    def stop(self, signum: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signum)
        return self.process.wait(60)

    def run(self, *args: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command of `universe` to its end."""
        return subprocess.run(
            [str(UNIVERSE), *args],
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Return what `universe status` says."""
        done = invoke(status, "--json", environment=self.variables)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def report(self, path: str, **parameters: str) -> Any:
        """Return an answer of the analytics API."""
        url = f"{self.gateway}/function/analytics-query/analytics/{path}"
        return plain_http.get(url, params=parameters, timeout=60).raise_for_status().json()

    def wait_until_processed(self, seconds: float = 90) -> dict[str, Any]:
        """Wait until no message is left, and return the status then."""

        def drained() -> dict[str, Any] | None:
            said = self.status()
            return said if said["backlogMessages"] == 0 else None

        return wait_until(drained, seconds, every=0.3)  # type: ignore[return-value]

    def replicas(self, function: str) -> list[int]:
        """Return the process ids of a function's replicas."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error, OSError):
                parent = process.parent()
                if process.name() == function and parent and parent.name() != function:
                    found.append(process.pid)
        return found

    def processes(self) -> list[psutil.Process]:
        """Return every process that has to do with the state folder, the platform's own too."""
        mark = str(self.state_dir)
        found = []
        for process in psutil.process_iter():
            try:
                if mark in " ".join(process.cmdline()) or mark in str(process.environ()):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


@contextmanager
def platform(folder: Path, **environment: str) -> Iterator[RunningPlatform]:
    """Run a platform until the block ends.

    Args:
        folder: for its state and its output; PostgreSQL's user has to be able to enter it.
        environment: settings besides STATE_DIR and GATEWAY_PORT.
    """
    running = RunningPlatform(folder, **environment)
    try:
        running.start()
        yield running
    finally:
        if running.process and running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            try:
                running.process.wait(60)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
