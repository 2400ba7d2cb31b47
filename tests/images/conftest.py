"""The images, each built once."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from functions.common.paths import ROOT
from tests.images.build_context import shrinkwrap
from tests.images.engine import Engine, any_engine, package_fault, python_image

SERVICES = {
    "connector": "infra/connector/Dockerfile",
    "exporter": "infra/monitoring/exporter/Dockerfile",
}


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    with any_engine() as engine:
        yield engine


@pytest.fixture(scope="package")
def base(engine: Engine) -> str:
    """The image with Python that all others are built upon."""
    image = python_image(engine, ROOT / "build" / "images")
    fault = package_fault(engine, image)
    if fault:
        pytest.skip(f"no packages can be had in containers here: {fault}")
    return image


@pytest.fixture(scope="package")
def image_of(
    engine: Engine, base: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Build the image of a function or a service, and return its tag."""
    contexts = shrinkwrap(tmp_path_factory.mktemp("contexts"))
    python = ["--build-arg", f"PYTHON_IMAGE={base}"]

    @cache
    def build(name: str) -> str:
        tag = f"universe-tests/{name}"
        if name in SERVICES:
            return engine.build(ROOT, tag, "--file", str(ROOT / SERVICES[name]), *python)
        return engine.build(contexts[name], tag, *python)

    return build
