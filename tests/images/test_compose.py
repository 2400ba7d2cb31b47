"""infra/compose.yaml by its own commands: its NATS and PostgreSQL, the platform beside them."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from functions.common.paths import ROOT
from tests.images import stand_ins
from tests.images.engine import PYTHON, Engine
from tests.support.manifests import make_secrets
from tests.support.net import free_port
from tests.support.platform import platform
from tests.support.tools import go_tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMPOSE = ("github.com/docker/compose/v5/cmd", "v5.0.2")
SERVERS = ("nats", "postgres")
EVENTS = 2000
PASSWORDS = {"OWNER": "an-owner", "WRITER": "a-writer", "READER": "a-reader", "GRAFANA": "x"}


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="universe-compose-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Compose:
    """The file, in a copy of the repository, with ports that are free here."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._project = f"universe-test-{uuid4().hex[:8]}"
        self.infra = folder / "infra"
        shutil.copytree(ROOT / "infra", self.infra, ignore=shutil.ignore_patterns("secrets"))
        lines = [f"{name}_PASSWORD={password}\n" for name, password in PASSWORDS.items()]
        (self.infra / ".env").write_text("".join(lines))
        make_secrets(self.infra / "secrets", NATS_HOST="127.0.0.1")
        self.ports = {name: free_port() for name in SERVERS}
        services = yaml.safe_load((self.infra / "compose.yaml").read_text())["services"]
        self.images = {name: services[name]["image"] for name in SERVERS}
        override = "services:\n"
        for name, port in self.ports.items():
            [published] = services[name]["ports"]
            inside = published.rpartition(":")[2]
            override += f"  {name}:\n    ports: !override ['127.0.0.1:{port}:{inside}']\n"
        (self.infra / "ports.yaml").write_text(override)
        works = engine.run("compose", "version", check=False)
        self._program = ["docker", "compose"] if works else [str(go_tool(*COMPOSE))]

    def run(self, *arguments: str) -> str:
        """Run a command of Compose, and return what it printed."""
        files = ["-f", str(self.infra / "compose.yaml"), "-f", str(self.infra / "ports.yaml")]
        done = subprocess.run(
            [*self._program, "-p", self._project, *files, *arguments],
            env={**os.environ, **self._engine.environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def test_the_platform_runs_beside_the_containers(engine: Engine, base: str, folder: Path) -> None:
    compose = Compose(engine, folder)
    if base != PYTHON:  # nothing can be pulled here
        stand_ins.make(engine, base, compose.images, folder / "made")
    try:
        compose.run("up", "--detach", "--wait", "--pull", "missing", *SERVERS)
        database = f"127.0.0.1:{compose.ports['postgres']}/universe?sslmode=disable"
        nats_url = (compose.infra / "secrets/nats-url-admin").read_text().strip()
        urls = {
            "NATS_URL": nats_url.replace(":4222", f":{compose.ports['nats']}"),
            "DATABASE_URL": f"postgresql://postgres:an-owner@{database}",
            "DATABASE_WRITER_URL": f"postgresql://universe_writer:a-writer@{database}",
            "DATABASE_READER_URL": f"postgresql://universe_reader:a-reader@{database}",
        }
        with platform(folder, **urls) as up:
            sent = up.run("publish", "--events", str(EVENTS), "--json")
            assert sent.returncode == 0, sent.stderr
            assert json.loads(sent.stdout.splitlines()[-1])["accepted"] == EVENTS
            status = up.wait_until_processed()
            assert (status["deadLetters"], status["rowsStored"]) == (0, EVENTS)
            assert up.report("overview")["totals"]["events"] == EVENTS
    except AssertionError:
        print(compose.run("logs", "--tail", "30"))
        raise
    finally:
        compose.run("down", "--volumes", "--timeout", "10")
