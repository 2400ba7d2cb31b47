"""infra/compose.yaml by its own commands: its NATS and PostgreSQL, the platform beside them."""

import json
from pathlib import Path

import pytest

from tests.images.compose import composed
from tests.images.engine import Engine
from tests.support.platform import platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EVENTS = 2000


def test_the_platform_runs_beside_the_containers(engine: Engine, base: str, tmp_path: Path) -> None:
    with composed(engine, base) as compose:
        urls = {
            "NATS_URL": compose.nats_url("nats-url-admin"),
            "DATABASE_URL": f"postgresql://postgres:an-owner@{compose.database}",
            "DATABASE_WRITER_URL": f"postgresql://universe_writer:a-writer@{compose.database}",
            "DATABASE_READER_URL": f"postgresql://universe_reader:a-reader@{compose.database}",
        }
        with platform(tmp_path, **urls) as up:
            sent = up.run("publish", "--events", str(EVENTS), "--json")
            assert sent.returncode == 0, sent.stderr
            assert json.loads(sent.stdout.splitlines()[-1])["accepted"] == EVENTS
            status = up.wait_until_processed()
            assert (status["deadLetters"], status["rowsStored"]) == (0, EVENTS)
            assert up.report("overview")["totals"]["events"] == EVENTS
