"""stack.yml, deployed by the real faas-cli to the running platform, as to any OpenFaaS."""

import os
import subprocess
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from functions.common.paths import ROOT
from tests.support.net import wait_until
from tests.support.platform import RunningPlatform
from tests.support.stored_events import generated
from tests.support.tools import tool

pytestmark = pytest.mark.slow

FUNCTIONS = {"ingest", "process-batch", "analytics-query"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def faas_cli(up: RunningPlatform, home: Path, *args: str, stdin: str = "", **env: str) -> str:
    """Run faas-cli in the repository, and return what it wrote."""
    done = subprocess.run(
        [str(tool("faas-cli")), *args],
        cwd=ROOT,
        env={
            **os.environ,
            "HOME": str(home),
            "OPENFAAS_CONFIG": str(home),
            "OPENFAAS_URL": up.gateway,
            **env,
        },
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_update_under_load_drops_no_request(up: RunningPlatform, home: Path) -> None:
    password = (up.state_dir / "secrets" / "basic-auth-password").read_text()
    faas_cli(up, home, "login", "--password-stdin", stdin=password)
    statuses: Counter[int] = Counter()
    events = generated(4000)
    updated = threading.Event()

    def send() -> None:
        with httpx.Client(timeout=60, verify=False) as client:
            for start in range(0, len(events), 20):
                answer = client.post(up.ingest, json=events[start : start + 20])
                statuses[answer.status_code] += 1
                if not updated.is_set():
                    updated.wait(0.05)

    sending = threading.Thread(target=send)
    sending.start()
    for tag in ("1", "2"):
        said = faas_cli(up, home, "deploy", "-f", "stack.yml", TAG=tag)
        assert said.count("Deployed. 20") == len(FUNCTIONS), said  # 200 or 202
    updated.set()
    sending.join(120)

    assert statuses == {202: 200}
    up.wait_until_processed()
    totals = wait_until(lambda: up.report("overview", **{"from": "2024-01-01"})["totals"])
    assert totals["events"] == 4000
    listed = faas_cli(up, home, "list", "-v")
    assert all(f"/{name}:2" in listed for name in FUNCTIONS), listed
    # what is deployed like this goes to zero as well, and comes back
    wait_until(lambda: not any(up.replicas(name) for name in FUNCTIONS), 90, every=0.5)
    assert up.report("overview", **{"from": "2024-01-01"})["totals"]["events"] == 4000
