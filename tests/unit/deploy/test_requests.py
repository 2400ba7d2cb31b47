"""Requests of processor: one figure everywhere, and enough for a start on a busy node."""

import re
from dataclasses import dataclass

import pytest
import yaml

from functions.common.paths import ROOT
from infra.local.functions.stack import read_stack
from tests.support.manifests import Manifest

CHART_PROBE = {"periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 3}
"""Liveness of a function, as OpenFaaS' chart has it; there is no startup probe."""


@dataclass(frozen=True)
class Start:
    """A row of the page: seconds of processor until a process lives and is ready, its request."""

    lives: float
    ready: float
    requested: str
    ready_after: float

    @property
    def cores(self) -> float:
        return int(self.requested.removesuffix("m")) / 1000


def documented() -> dict[str, Start]:
    page = (ROOT / "docs/deploy.md").read_text()
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\d.]+) s \| ([\d.]+) s \| (\d+m) \| ([\d.]+) s \|$", page, re.M
    )
    return {
        name: Start(float(lives), float(ready), requested, float(after))
        for name, lives, ready, requested, after in rows
    }


@pytest.fixture
def containers() -> dict[str, Manifest]:
    found = {}
    for name in ("connector", "exporter"):
        manifest = yaml.safe_load((ROOT / f"infra/kubernetes/base/{name}.yaml").read_text())
        [found[name]] = manifest["spec"]["template"]["spec"]["containers"]
    return found


def seconds_until_killed(probe: Manifest) -> float:
    """Return how long a process may take that starts right after its first probe failed."""
    return (probe["failureThreshold"] - 1) * probe["periodSeconds"] + probe["timeoutSeconds"]


def test_page_says_what_is_requested(containers: dict[str, Manifest]) -> None:
    stack = read_stack(ROOT / "stack.yml", {})
    requested = {each.service: each.requests.cpu for each in stack if each.requests}
    for name, container in containers.items():
        requested[name] = container["resources"]["requests"]["cpu"]
    assert {name: start.requested for name, start in documented().items()} == requested


def test_what_is_requested_is_enough_to_start(containers: dict[str, Manifest]) -> None:
    for name, start in documented().items():
        assert start.lives <= start.ready, name
        assert start.ready_after == pytest.approx(start.ready / start.cores, abs=0.1), name
        probe = containers[name]["startupProbe"] if name in containers else CHART_PROBE
        # twice as slow a processor as that which was measured
        assert 2 * start.lives / start.cores < seconds_until_killed(probe), name
        if name in containers:
            assert probe["httpGet"] == containers[name]["livenessProbe"]["httpGet"], name
