"""stack.yml and the template: what every OpenFaaS accepts, and versions that agree."""

import re
from pathlib import Path

import pytest

from functions.common.paths import ROOT
from infra.local.api_models import FunctionDeployment
from infra.local.functions.scaling import read_scale_rule
from infra.local.functions.stack import read_stack
from infra.local.gateway.settings import GatewaySettings

TEMPLATE = ROOT / "templates" / "python3-functions-framework"
COMMUNITY_REPLICAS = 5
COMMUNITY_FUNCTIONS = 15


def functions(**environment: str) -> dict[str, FunctionDeployment]:
    return {f.service: f for f in read_stack(ROOT / "stack.yml", environment)}


def community_edition_refuses(function: FunctionDeployment) -> list[str]:
    """Return what the provider of OpenFaaS Community Edition would not take."""
    labels, annotations = function.labels, function.annotations
    wrong = [
        label
        for label in ("zero-duration", "target", "type")
        if f"com.openfaas.scale.{label}" in labels
    ]
    wrong += [
        label
        for label in ("min", "max")
        if int(labels.get(f"com.openfaas.scale.{label}", "1")) > COMMUNITY_REPLICAS
    ]
    if labels.get("com.openfaas.scale.zero") == "true":
        wrong.append("zero")
    if "," in annotations.get("topic", ""):
        wrong.append("several topics")
    return wrong + [name for name in annotations if "amazonaws.com" in name or "gke.io" in name]


def test_community_edition_takes_the_stack_as_it_is() -> None:
    stack = functions()
    assert 0 < len(stack) <= COMMUNITY_FUNCTIONS
    for name, function in stack.items():
        assert community_edition_refuses(function) == [], name


def test_scale_to_zero_is_asked_for_where_it_can_be_had() -> None:
    for function in functions(SCALE_TO_ZERO="true").values():
        assert function.labels["com.openfaas.scale.zero"] == "true"
        assert community_edition_refuses(function) == ["zero"]


@pytest.mark.parametrize("wanted", [True, False])
def test_local_platform_decides_where_the_stack_says_nothing(wanted: bool, tmp_path: Path) -> None:
    settings = GatewaySettings(state_dir=tmp_path, scale_to_zero=wanted)
    for function in functions().values():
        assert (read_scale_rule(function.labels, settings).zero_duration is not None) is wanted


def test_image_registry_and_tag_come_from_the_environment() -> None:
    stack = functions(REGISTRY="registry.example:5000/team", TAG="1.2.3")
    assert {f.image for f in stack.values()} == {
        f"registry.example:5000/team/{name}:1.2.3" for name in stack
    }


def test_labels_are_valid_in_kubernetes() -> None:
    for function in functions().values():
        for value in function.labels.values():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value)
            assert len(value) <= 63


def test_no_secret_is_in_the_environment() -> None:
    for function in functions().values():
        for name in function.env_vars:
            assert not re.search("password|token|secret|database_url", name, re.I)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_a_response_may_take_longer_than_the_call() -> None:
    defaults = dict(re.findall(r"(\w+_timeout)=(\d+s)", (TEMPLATE / "Dockerfile").read_text()))
    assert set(defaults) == {"read_timeout", "exec_timeout", "write_timeout"}
    for name, function in functions().items():
        limits = {key: seconds(value) for key, value in (defaults | function.env_vars).items()
                  if key.endswith("_timeout")}  # fmt: skip
        assert limits["write_timeout"] > limits["exec_timeout"], name


def test_a_function_ends_within_the_time_that_kubernetes_gives_it() -> None:
    text = (TEMPLATE / "Dockerfile").read_text()
    [function] = re.findall(r"DRAIN_DELAY=(\d+)", text)
    [graceful] = re.findall(r"GRACEFUL_TIMEOUT=(\d+)", text)
    assert int(function) + int(graceful) < 30


def names_and_versions(file: Path) -> dict[str, str]:
    lines = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?((?:[=<>~!]=?[^\s;]*)?)(?: .*)?$", file.read_text(), re.M
    )
    return {name.lower().replace("_", "-"): version for name, version in lines}


def test_template_has_the_versions_that_are_tested() -> None:
    locked = names_and_versions(ROOT / "requirements.lock")
    for name, version in names_and_versions(TEMPLATE / "requirements.txt").items():
        assert version == locked[name], name


def test_all_images_have_the_python_that_the_page_names() -> None:
    files = [TEMPLATE / "Dockerfile", *sorted((ROOT / "infra").rglob("Dockerfile"))]
    assert len(files) == 3
    text = "".join(file.read_text() for file in files)
    [image] = set(re.findall(r"^ARG PYTHON_IMAGE=(\S+)", text, re.M))
    page = (ROOT / "docs/deploy.md").read_text()
    assert f"built upon `{image.partition('@')[0]}`" in page


@pytest.mark.parametrize(
    "file",
    sorted(
        str(path.relative_to(ROOT))
        for folder in ("functions", "infra")
        for path in (ROOT / folder).rglob("requirements.txt")
    ),
)
def test_what_an_image_installs_is_pinned(file: str) -> None:
    locked = names_and_versions(ROOT / "requirements.lock")
    wanted = names_and_versions(ROOT / file)
    assert wanted
    assert wanted.keys() <= locked.keys()


def test_lock_files_hold_a_hash_of_every_package() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock"):
        text = (ROOT / name).read_text()
        pinned = re.findall(r"^[\w-]+==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)
        assert len(pinned) == len(re.findall(r"^\S", text, re.M)), name
        assert "://" not in text, f"{name} says where packages come from: that differs by machine"


def test_template_installs_with_the_same_uv() -> None:
    uv = "requirements-uv.lock"
    assert (TEMPLATE / uv).read_text() == (ROOT / uv).read_text()
