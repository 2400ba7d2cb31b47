"""The connector's Helm chart renders to what an API server takes, in each way its README shows."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from functions.common.paths import ROOT
from tests.support.manifests import check
from tests.support.tools import tool

CHART = ROOT / "infra/connector/chart"
README = (ROOT / "infra/connector/README.md").read_text()
COMMANDS = re.findall(r"helm install (.*)", README.replace("\\\n", " "))


def template(*options: str) -> subprocess.CompletedProcess[str]:
    command = [str(tool("helm")), "template", *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def container(*options: str) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return the pod of a rendered chart, its variables and its secrets."""
    done = template("mine", str(CHART), *options)
    assert done.returncode == 0, done.stderr
    [deployment] = [each for each in yaml.safe_load_all(done.stdout) if each]
    check(deployment)
    pod = deployment["spec"]["template"]["spec"]
    variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    sources = pod["volumes"][0]["projected"]["sources"]
    return pod, variables, [each["secret"]["name"] for each in sources]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme_render(command: str) -> None:
    done = template(*(part.strip("'") for part in command.split()))
    assert done.returncode == 0, done.stderr
    for manifest in filter(None, yaml.safe_load_all(done.stdout)):
        check(manifest)


def test_a_gateway_is_the_default() -> None:
    pod, variables, secrets = container("--set", "nats.secret=mine", "--set", "secrets={keys}")
    assert variables["GATEWAY_URL"] == "http://gateway.openfaas:8080"
    assert "FUNCTION_URL" not in variables
    assert secrets == ["mine", "basic-auth", "keys"]
    assert pod["securityContext"]["runAsNonRoot"]


def test_a_service_needs_its_topics_and_no_gateway() -> None:
    url = ("--set", "function.url=http://s.default/")
    assert "set function.topics" in template("mine", str(CHART), *url).stderr
    settings = ("--set", "function.topics=orders.>", "--set-string", "settings.NATS_BATCH_SIZE=5")
    _, variables, secrets = container(*url, *settings)
    assert variables == {
        "NATS_URL": "nats://nats.default:4222",
        "FUNCTION_URL": "http://s.default/",
        "TOPICS": "orders.>",
        "FUNCTION_NAME": "mine",
        "NATS_BATCH_SIZE": "5",
    }
    assert secrets == []


def test_the_readme_shows_both_ways() -> None:
    assert len(COMMANDS) == 2
