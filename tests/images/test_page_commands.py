"""Commands of docs/deploy.md and of the connector's page that need Docker, as they are there.

Ports are others than the page's, since those may be taken, and what cannot be pulled is a stand-in.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.common.paths import ROOT
from scripts.page_commands import commands, section
from tests.images import stand_ins
from tests.images.engine import PYTHON, Engine
from tests.images.page import shell, tagged
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.net import free_port, plain_http, wait_until
from tests.support.quick_start import PAGE, QuickStart
from tests.support.secrets import SIGNING_KEY
from tests.support.tied_process import TiedProcess
from tests.support.tools import go_tool, installed, nats_cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOY = (ROOT / "docs/deploy.md").read_text()
BUILT_OF = ("functions", "infra", "sql", "templates")
BUILT_WITH = (".dockerignore", "requirements.lock", "requirements-uv.lock", "stack.yml")
CONNECTOR = "ghcr.io/universe-events/connector"
REGISTRY = ("github.com/google/go-containerregistry/cmd/registry", "v0.20.7")


def get(url: str) -> dict[str, Any]:
    """Return the JSON that an address answers; nothing where there is no answer."""
    try:
        answer = plain_http.get(url, timeout=5)
    except httpx.TransportError:
        return {}
    return answer.json() if answer.is_success else {}


@contextmanager
def registry() -> Iterator[str]:
    """Give the address of a registry that has no images."""
    port = free_port()
    server = TiedProcess([go_tool(*REGISTRY), "-port", str(port)])
    try:
        wait_until(lambda: "repositories" in get(f"http://127.0.0.1:{port}/v2/_catalog"))
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def test_images_are_built_and_pushed(
    engine: Engine, base: str, image_of: Callable[[str], str], tmp_path: Path
) -> None:
    """With `faas-cli` where it is installed; else without the functions."""
    faas_cli = installed("faas-cli")
    names = ["connector", "exporter"]
    if faas_cli:
        names += ["ingest", "process-batch", "analytics-query"]
    for name in names:
        image_of(name)  # whose layers are found again
    lines = commands(section(DEPLOY, "Images"), [] if faas_cli else ["^faas-cli"])
    assert "REGISTRY=ghcr.io/YOUR-NAME" in lines
    with (
        registry() as pushed_to,
        tagged(engine, base, PYTHON),
        shell(engine, tmp_path / "copy", *filter(None, [faas_cli])) as user,
    ):
        for folder in BUILT_OF:
            ignored = shutil.ignore_patterns("secrets", "__pycache__")
            shutil.copytree(ROOT / folder, user.folder / folder, ignore=ignored)
        for file in BUILT_WITH:
            shutil.copy(ROOT / file, user.folder / file)
        (user.folder / "template").symlink_to("templates")
        tags = [f"{pushed_to}/team/{name}:0.1.0" for name in names]
        try:
            user.run(lines.replace("ghcr.io/YOUR-NAME", f"{pushed_to}/team"))
            there = get(f"http://{pushed_to}/v2/_catalog")["repositories"]
            assert sorted(there) == sorted(f"team/{name}" for name in names)
            for name, tag in zip(names, tags, strict=True):
                size = engine.size(tag)
                assert abs(size - engine.size(image_of(name))) < 100_000, "the same image"
        finally:
            engine.run("rmi", "--no-prune", *tags, check=False)


@pytest.fixture
def connector_image(engine: Engine, image_of: Callable[[str], str]) -> Iterator[None]:
    """The image has the name that the page builds it by."""
    [build] = re.findall(r"`docker build (-f \S+) -t (\S+) \.`", " ".join(PAGE.split()))
    assert build == ("-f infra/connector/Dockerfile", CONNECTOR)
    with tagged(engine, image_of("connector"), CONNECTOR):
        yield


def changed(text: str, *changes: tuple[str, str]) -> str:
    """Return a text in which something is put in the place of something else that is there."""
    for there, here in changes:
        assert there in text, there
        text = text.replace(there, here)
    return text


def test_docker_runs_the_connector_for_a_plain_http_service(
    engine: Engine, base: str, connector_image: None, tmp_path: Path
) -> None:
    page = QuickStart.of("A plain HTTP service")
    nats_port, service_port, port = (str(free_port()) for _ in range(3))
    [image] = re.findall(r"docker run -d --network host (nats:\S+) -js", page.commands)
    made = image
    if not engine.has(image):
        made = stand_ins.make_nats(engine, base, "universe-tests/nats", tmp_path / "made")
    with (
        tagged(engine, made, image),
        shell(engine, tmp_path / "user", nats_cli()) as user,
    ):
        service, log = user.folder / "service.py", user.folder / "service.log"
        service.write_text(changed(page.blocks["python"][0], ("8000", service_port)))
        script = changed(
            page.commands,
            ("-js", f"-js -p {nats_port}"),
            (":4222", f":{nats_port}"),
            (":8000", f":{service_port}"),
            ("-e NATS_URL", f"-e PORT={port} -e NATS_URL"),
            # NATS is there a moment after the command that starts it
            ("nats stream", "until nats rtt >/dev/null 2>&1; do sleep 0.1; done; nats stream"),
            ("python3 service.py &", f"{sys.executable} service.py > {log} 2>&1 & echo $! > pid"),
        )
        try:
            user.run(f"set -eu\n{script}", NATS_URL=f"nats://127.0.0.1:{nats_port}")
            wait_until(lambda: len(re.findall(r"{'id': \d}", log.read_text())) == 3, 120)
            [bound] = get(f"http://127.0.0.1:{port}/bindings")["bindings"]
            assert bound["fault"] is None
        finally:
            user.run("kill $(cat pid)")


def test_docker_runs_the_connector_for_a_gateway(
    engine: Engine, connector_image: None, nats_url: str, tmp_path: Path
) -> None:
    """With secrets as faasd's page has them: those that the user 12000 cannot read are named."""
    page = QuickStart.of("OpenFaaS, Community Edition included")
    [command] = [line for line in page.commands.splitlines() if "docker run" in line]
    [readable] = re.findall(r"`chmod 755` it and `chmod 444` its files", DEPLOY)
    assert readable
    assert '`docker run --user "$(id -u)"`' in DEPLOY
    port = str(free_port())
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        shell(engine, tmp_path / "user") as user,
    ):
        gateway.serve(subscribed("bill", function, "orders.>", None), password="a-password")
        secrets = user.folder / "secrets"
        secrets.mkdir(mode=0o700)
        for name, text in {
            "nats-url": nats_url,
            "batch-signing-key": SIGNING_KEY,
            "basic-auth-user": "admin",
            "basic-auth-password": "a-password",
        }.items():
            (secrets / name).write_text(text)
        run = changed(
            command,
            ("http://127.0.0.1:8080", gateway.url),
            ("-e NATS_URL=nats://127.0.0.1:4222", f"-e PORT={port}"),
        )

        def connected() -> bool:
            """It is logged in to both: no stream has the function's subjects."""
            return "bill" in get(f"http://127.0.0.1:{port}/bindings").get("unbound", {})

        user.run(run)
        [first] = user.containers()
        wait_until(lambda: not engine.inspect(first)["Running"], 120)
        said = user.run(f"docker logs {first}")
        assert "Permission denied" in said
        assert "Traceback" not in said
        user.run(changed(run, ("docker run", 'docker run --user "$(id -u)"')))
        wait_until(connected, 120)
        user.clean()
        user.run("chmod 755 secrets && chmod 444 secrets/*")
        user.run(run)
        wait_until(connected, 120)
