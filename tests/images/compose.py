"""infra/compose.yaml, run by Compose in a copy of the repository."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from functions.common.paths import ROOT
from tests.images import stand_ins
from tests.images.engine import PYTHON, Engine
from tests.support.manifests import make_secrets
from tests.support.net import free_port
from tests.support.tools import go_tool

COMPOSE = ("github.com/docker/compose/v5/cmd", "v5.0.2")
SERVERS = ("nats", "postgres")
PASSWORDS = {"OWNER": "an-owner", "WRITER": "a-writer", "READER": "a-reader", "GRAFANA": "x"}


class Compose:
    """The file, in a copy of the repository, with ports that are free here."""

    def __init__(self, engine: Engine, base: str, folder: Path) -> None:
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
        self._files = ["compose.yaml", "ports.yaml"]
        if base != PYTHON:  # nothing can be pulled here
            stand_ins.make(engine, base, self.images, folder / "made")
        works = engine.run("compose", "version", check=False)
        self._program = ["docker", "compose"] if works else [str(go_tool(*COMPOSE))]

    @property
    def database(self) -> str:
        """What follows the login in the database's address."""
        return f"127.0.0.1:{self.ports['postgres']}/universe?sslmode=disable"

    def nats_url(self, file: str) -> str:
        """Return the address with the login that a file of the secrets holds."""
        url = (self.infra / "secrets" / file).read_text().strip()
        return url.replace(":4222", f":{self.ports['nats']}")

    def add(self, services: dict[str, Any]) -> None:
        """Have further services beside those of the file."""
        name = f"{'-'.join(services)}.yaml"
        (self.infra / name).write_text(yaml.safe_dump({"services": services}))
        self._files.append(name)

    def run(self, *arguments: str) -> str:
        """Run a command of Compose, and return what it printed."""
        files = [part for name in self._files for part in ("-f", str(self.infra / name))]
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


@contextmanager
def composed(engine: Engine, base: str) -> Iterator[Compose]:
    """Give the file with its servers up; what it made is gone once the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="universe-compose-"))
    folder.chmod(0o755)
    compose = Compose(engine, base, folder)
    try:
        compose.run("up", "--detach", "--wait", "--pull", "missing", *SERVERS)
        yield compose
    except AssertionError:
        print(compose.run("logs", "--tail", "30"))
        raise
    finally:
        compose.run("down", "--volumes", "--timeout", "10")
        shutil.rmtree(folder, ignore_errors=True)
