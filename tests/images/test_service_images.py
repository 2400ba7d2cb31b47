"""The images of the connector and the exporter, made and run without a container engine."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import pytest

from functions.common.paths import ROOT
from infra.local.servers.ports import free_port
from tests.conftest import Database
from tests.images.dockerfile import Image, build, start
from tests.support.net import plain_http, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FILES = {
    "connector": "infra/connector/Dockerfile",
    "exporter": "infra/monitoring/exporter/Dockerfile",
}


@pytest.fixture(scope="module")
def image_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Image]:
    images = tmp_path_factory.mktemp("images")
    return cache(lambda name: build(ROOT, images / name, FILES[name]))


@contextmanager
def running(image: Image, log: Path, **environment: str) -> Iterator[str]:
    """Run the image; yield its address when it lives."""
    port = free_port()
    environment = {"PORT": str(port), "HOST": "127.0.0.1", **environment}
    process = start(image, image.command, log, **environment)
    url = f"http://127.0.0.1:{port}"

    def is_alive() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return plain_http.get(f"{url}/health/liveness", timeout=10).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(is_alive, 60)
        if image.health:
            program = str(image.bin / image.health[0])
            subprocess.run(
                [program, *image.health[1:]], env=image.variables(**environment), check=True
            )
        yield url
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def test_connector_runs_out_of_its_image(
    image_of: Callable[[str], Image], tmp_path: Path, nats_url: str
) -> None:
    image = image_of("connector")
    before = image.files()
    settings = {"NATS_URL": nats_url, "K_SINK": "http://127.0.0.1:9"}
    with running(image, tmp_path / "log", **settings) as url:
        assert "universe_connector" in plain_http.get(url + "/metrics").text
    assert image.files() == before
    done = subprocess.run(
        [*image.command, "dlq", "--help"],
        cwd=image.path("."),
        env=image.variables(),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_exporter_runs_out_of_its_image(
    image_of: Callable[[str], Image], tmp_path: Path, nats_url: str, database: Database
) -> None:
    image = image_of("exporter")
    before = image.files()
    settings = {"NATS_URL": nats_url, "DATABASE_READER_URL": database.reader_url}
    with running(image, tmp_path / "log", **settings) as url:
        wait_until(lambda: "universe_" in plain_http.get(url + "/metrics", timeout=30).text)
    assert image.files() == before
