"""Images made by `tests.images.dockerfile`, running: behind the real of-watchdog, or without."""

import fcntl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.local.servers.ports import free_port, is_free
from tests.images.dockerfile import Image, start
from tests.support.net import wait_until
from tests.support.tied_process import TiedProcess
from tests.support.tools import tool

METRICS_PORT = 8081
"""of-watchdog takes it, and no setting changes that."""


@dataclass(frozen=True)
class Served:
    """A function that runs out of an image.

    Attributes:
        client: sends requests to it.
        process: the watchdog, or the function where there is none.
        log: what it wrote.
        ready_file: what probes look for.
    """

    client: httpx.Client
    process: TiedProcess
    log: Path
    ready_file: Path


@contextmanager
def behind_watchdog(image: Image, **environment: str) -> Iterator[Served]:
    """Run an image's command as a container engine does, until the block ends."""
    watchdog = tool("of-watchdog")
    assert image.command == ["fwatchdog"]
    port, upstream = free_port(), free_port()
    process = image.environment["fprocess"].replace("5000", str(upstream))
    variables = {
        "port": str(port),
        "PORT": str(port),  # as Knative sets it: not for the process behind the watchdog
        "upstream_url": f"http://127.0.0.1:{upstream}",
        "fprocess": process,
    }
    with _metrics_port(), _running(image, [str(watchdog)], port, variables | environment) as served:
        yield served


@contextmanager
def without_watchdog(image: Image, **environment: str) -> Iterator[Served]:
    """Run the function of an image by itself."""
    port = free_port()
    words = image.environment["fprocess"].replace("5000", str(port)).split()
    with _running(image, words, port, environment) as served:
        yield served


@contextmanager
def _running(
    image: Image, command: list[str], port: int, environment: dict[str, str]
) -> Iterator[Served]:
    tmp = image.path("/tmp")
    tmp.mkdir(exist_ok=True)
    ready_file, log = tmp / ".lock", tmp / "log"
    ready_file.unlink(missing_ok=True)
    environment = {
        "TMPDIR": str(tmp),
        "HOME": str(tmp),
        "READY_FILE": str(ready_file),
        **environment,
    }
    process = start(image, command, log, **environment)
    url = f"http://127.0.0.1:{port}"
    try:
        # a client without certificates: loading them takes longer than the function's start
        with httpx.Client(base_url=url, timeout=60, verify=False) as client:

            def is_ready() -> bool:
                assert process.poll() is None, f"it ended: {log.read_text()[-3000:]}"
                return ready_file.exists()

            wait_until(is_ready, 60)
            yield Served(client, process, log, ready_file)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _metrics_port() -> Iterator[None]:
    """Have the port that every of-watchdog takes to ourselves; skip if others keep it."""
    with (Path(tempfile.gettempdir()) / "universe-of-watchdog.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        deadline = time.monotonic() + 30
        while not is_free(METRICS_PORT):
            if time.monotonic() > deadline:
                pytest.skip(f"port {METRICS_PORT}, which every of-watchdog takes, is in use")
            time.sleep(0.2)
        yield
