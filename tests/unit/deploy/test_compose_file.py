"""infra/compose.yaml: what Compose takes, and what is mounted is there."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from functions.common.paths import ROOT
from tests.support.manifests import copy, pod_specs, render
from tests.support.tools import go_module

FILE = ROOT / "infra" / "compose.yaml"
SCHEMA = ("github.com/compose-spec/compose-go/v2", "v2.16.2", "schema/compose-spec.json")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def test_compose_understands_it(compose: dict[str, Any]) -> None:
    module, version, path = SCHEMA
    schema = json.loads((go_module(module, version) / path).read_text())
    jsonschema.validate(compose, schema)
    compose["services"]["nats"]["comand"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose, schema)


def test_what_is_mounted_is_there(compose: dict[str, Any]) -> None:
    made = ("../.universe/secrets", "./secrets/nats-passwords.conf")  # as its comment says
    for name, service in compose["services"].items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                there = (FILE.parent / source).exists()
                assert there or source in made, f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"


def test_prometheus_finds_the_password_where_it_is_mounted(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((FILE.parent / "monitoring/prometheus/prometheus.yml").read_text())
    of_gateway, of_others = config["scrape_configs"]
    [file] = {
        login["password_file"]
        for login in (
            of_gateway["basic_auth"],
            of_gateway["http_sd_configs"][0]["basic_auth"],
            of_others["http_sd_configs"][0]["basic_auth"],
        )
    }
    mounts = [volume.split(":")[:2] for volume in compose["services"]["prometheus"]["volumes"]]
    [config_folder] = [target for source, target in mounts if source.endswith("/prometheus")]
    assert config_folder == "/etc/prometheus"
    seen = re.sub(r"^(\.\./)+", "/", file)  # the folder is two deep, which is as far as .. goes
    assert file.count("../") >= 2
    assert any(seen.startswith(target + "/") for _, target in mounts)


def test_nothing_is_reachable_from_other_machines(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
        if service.get("network_mode") == "host":
            assert "127.0.0.1" in str(service["command"] if "command" in service else
                                      service["environment"]["GF_SERVER_HTTP_ADDR"])  # fmt: skip


def test_servers_are_those_of_the_cluster(
    compose: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    overlay = copy(tmp_path_factory.mktemp("tree")) / "infra/kubernetes/overlays/single-node"
    images = {container["image"] for _, template in pod_specs(render(overlay))
              for container in template["spec"]["containers"]}  # fmt: skip
    for name in ("nats", "postgres"):
        assert compose["services"][name]["image"] in images


def test_the_comment_s_commands_make_what_compose_needs_and_keep_it(tmp_path: Path) -> None:
    tree = copy(tmp_path, secrets=False)
    lines = [line[4:] for line in FILE.read_text().splitlines() if line.startswith("#   ")]
    before_compose = "\n".join(lines).partition("docker compose")[0]

    def follow() -> dict[Path, bytes]:
        subprocess.run(["sh", "-euc", before_compose], cwd=tree, check=True)
        made = [tree / "infra/.env", *(tree / "infra/secrets").rglob("*")]
        return {file: file.read_bytes() for file in made if file.is_file()}

    first = follow()
    wanted = set(re.findall(r"\$\{(\w+):\?", FILE.read_text())) | {
        "WRITER_PASSWORD",
        "READER_PASSWORD",
    }
    named = dict(line.split("=") for line in first[tree / "infra/.env"].decode().splitlines())
    assert named.keys() == wanted
    assert all(re.fullmatch("[0-9a-f]{32}", password) for password in named.values())
    assert (tree / "infra/secrets/nats-passwords.conf") in first
    assert (tree / ".universe/secrets").stat().st_mode & 0o777 == 0o700
    assert follow() == first, "a live database would keep the old ones"
