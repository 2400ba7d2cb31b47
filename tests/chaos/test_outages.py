"""A minute without PostgreSQL, NATS or the gateway, under load: nothing dead, nothing lost."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.net import free_port, wait_until
from tests.support.platform import UNIVERSE, RunningPlatform, platform
from tests.support.tied_process import TiedProcess

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "60"))
RATE = 200
EVENTS = int(RATE * (OUTAGE_SECONDS + 15))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(OUTAGE_SECONDS * 4 + 240)]


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="universe-outage-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def broker(folder: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(folder / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def storage(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    server.ensure_database()
    yield server
    server.stop()


@contextmanager
def load(up: RunningPlatform) -> Iterator[TiedProcess]:
    """Send events at a steady rate, through whatever happens meanwhile."""
    options = (
        "--events",
        str(EVENTS),
        "--batch",
        "20",
        "--rate",
        str(RATE),
        "--seed",
        "9",
        "--json",
    )
    process = TiedProcess(
        [str(UNIVERSE), "publish", *options],
        env=up.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def everything_is_stored_once(up: RunningPlatform, sender: TiedProcess) -> None:
    said, wrong = sender.communicate(timeout=OUTAGE_SECONDS * 2 + 60)
    summary = json.loads(said.splitlines()[-1])
    assert sender.returncode == 0, wrong
    assert summary["accepted"] == EVENTS
    status = up.wait_until_processed(120)
    assert status["deadLetters"] == 0
    assert status["rowsStored"] == EVENTS
    assert up.report("overview")["totals"]["events"] == EVENTS


def some_are_stored(up: RunningPlatform) -> bool:
    return up.status()["rowsStored"] > 0


@pytest.mark.parametrize("away", ["PostgreSQL", "NATS"])
def test_a_server_is_away(
    away: str, folder: Path, broker: EmbeddedNats, storage: EmbeddedPostgres
) -> None:
    server = {"PostgreSQL": storage, "NATS": broker}[away]
    with (
        platform(folder, NATS_URL=broker.url, DATABASE_URL=storage.url()) as up,
        load(up) as sender,
    ):
        wait_until(lambda: some_are_stored(up), 60)
        server.kill()
        time.sleep(OUTAGE_SECONDS)
        server.start()
        everything_is_stored_once(up, sender)


def test_the_gateway_is_away(folder: Path, broker: EmbeddedNats, storage: EmbeddedPostgres) -> None:
    with (
        platform(folder, NATS_URL=broker.url, DATABASE_URL=storage.url(), CONNECTOR="false") as up,
        connector(folder, up, broker),
        load(up) as sender,
    ):
        wait_until(lambda: some_are_stored(up), 60)
        assert up.process is not None
        up.process.kill()
        up.process.wait()
        time.sleep(OUTAGE_SECONDS)
        up.start()
        everything_is_stored_once(up, sender)


@contextmanager
def connector(folder: Path, up: RunningPlatform, broker: EmbeddedNats) -> Iterator[None]:
    """Run a connector that outlives the gateway."""
    variables = {
        **os.environ,
        "NATS_URL": broker.url,
        "GATEWAY_URL": up.gateway,
        "SECRETS_DIR": str(up.state_dir / "secrets"),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
    }
    with (folder / "connector.log").open("wb") as log:
        process = TiedProcess(
            [sys.executable, "-m", "infra.connector"], env=variables, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0
