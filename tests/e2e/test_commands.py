"""The commands as users run them: the demo, errors in one line, nothing left behind."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from functions.common.paths import ROOT
from infra.cli.main import main
from scripts.page_commands import commands, section
from tests.support.commands import invoke
from tests.support.net import plain_http, wait_until
from tests.support.platform import UNIVERSE, RunningPlatform


@pytest.fixture
def alone(e2e_folder: Path, request: pytest.FixtureRequest) -> RunningPlatform:
    folder = e2e_folder / request.node.name
    folder.mkdir()
    return RunningPlatform(folder)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return lines[0]


@pytest.mark.slow
def test_demo_beside_another_platform_ends_with_a_report_and_no_process(
    alone: RunningPlatform, up: RunningPlatform
) -> None:
    before = up.wait_until_processed()["rowsStored"]
    done = alone.run("demo", "--events", "2000", "--exit")
    assert done.returncode == 0, done.stderr
    for words in ("Events by source and type", "Funnel", "Top countries", "Rejected, and why"):
        assert words in done.stdout
    assert up.status()["rowsStored"] == before
    assert wait_until(lambda: not alone.processes(), 15)


def test_publish_tells_what_became_of_the_events(up: RunningPlatform) -> None:
    options = ("--events", "500", "--batch", "50", "--invalid", "0.1", "--seed", "3")
    done = up.run("publish", *options, "--url", up.ingest, "--json", "--gzip")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["sent"] == 500
    assert summary["rejected"] == summary["kinds"]["invalid"]
    assert summary["accepted"] + summary["rejected"] == 500
    human = up.run("publish", *options)
    assert "accepted" in human.stdout
    explained = invoke(main, "connector", "explain", "process-batch", environment=up.variables)
    assert "process-batch is bound to events.> of stream EVENTS" in explained.stdout
    migrations = invoke(main, "migrate", "--status", environment=up.variables)
    assert migrations.stdout.startswith("applied")


def test_settings_reach_functions_and_connector(alone: RunningPlatform) -> None:
    alone.environment = {"INGEST_API_KEY": "sesame", "MAX_EVENTS": "2", "NATS_BATCH_SIZE": "7"}
    alone.start()
    try:
        key = {"X-Api-Key": "sesame"}
        assert plain_http.post(alone.ingest, json=[{}], timeout=60).status_code == 401
        assert plain_http.post(alone.ingest, json=[{}] * 3, headers=key).status_code == 413
        described = plain_http.get(
            f"{alone.gateway}/system/function/process-batch",
            auth=("admin", (alone.state_dir / "secrets" / "basic-auth-password").read_text()),
        ).json()
        assert described["annotations"]["jetstream.batch-size"] == "7"
    finally:
        assert alone.stop(signal.SIGTERM) == 0
    assert wait_until(lambda: not alone.processes(), 15)


@pytest.mark.slow
@pytest.mark.slow
def test_keys_made_by_the_page_s_commands_close_the_doors(alone: RunningPlatform) -> None:
    page = section((ROOT / "docs/deploy.md").read_text(), "One machine")
    make = [line for line in commands(page).splitlines() if line.startswith("openssl")]
    assert len(make) == 2
    reports = f"{alone.gateway}/function/analytics-query/analytics/overview"

    def statuses(**headers: str) -> list[int]:
        return [
            plain_http.post(alone.ingest, json=[], headers=headers, timeout=60).status_code,
            plain_http.get(reports, headers=headers, timeout=60).status_code,
        ]

    alone.start()
    assert statuses() == [422, 200]
    assert alone.stop(signal.SIGTERM) == 0
    script = "\n".join(["set -eu", *make]).replace(".universe", str(alone.state_dir))
    subprocess.run(["sh", "-c", script], check=True)
    alone.start()
    try:
        assert statuses() == [401, 401]
        names = ("ingest-api-key", "analytics-api-key")
        keys = [(alone.state_dir / "secrets" / name).read_text().strip() for name in names]
        assert [statuses(**{"X-Api-Key": key})[n] for n, key in enumerate(keys)] == [422, 200]
    finally:
        assert alone.stop(signal.SIGTERM) == 0


def test_nothing_outlives_a_platform_that_is_killed(alone: RunningPlatform) -> None:
    alone.start()
    assert len(alone.processes()) > 4
    assert alone.process is not None
    alone.process.kill()
    alone.process.wait()
    assert wait_until(lambda: not alone.processes(), 40)


def test_a_port_in_use_is_one_line(alone: RunningPlatform) -> None:
    with socket.create_server(("127.0.0.1", alone.port)):
        line = one_line(alone.run("up"))
    assert str(alone.port) in line
    assert "GATEWAY_PORT" in line


def test_a_state_folder_that_cannot_be_used_is_one_line(alone: RunningPlatform) -> None:
    alone.state_dir.write_text("a file")
    assert "STATE_DIR" in one_line(alone.run("up"))


@pytest.mark.slow
def test_a_state_folder_in_use_is_one_line(up: RunningPlatform, alone: RunningPlatform) -> None:
    alone.state_dir = up.state_dir
    assert "another platform" in one_line(alone.run("up"))


def test_a_wrong_setting_is_one_line(alone: RunningPlatform) -> None:
    alone.environment = {"GATEWAY_PORT": "many"}
    assert "GATEWAY_PORT" in one_line(alone.run("up"))


def test_status_without_a_platform_is_one_line(alone: RunningPlatform) -> None:
    assert "universe up" in one_line(alone.run("status"))


@pytest.mark.slow
def test_a_broken_database_folder_is_one_line(alone: RunningPlatform) -> None:
    data = alone.state_dir / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("nonsense")
    assert "PostgreSQL" in one_line(alone.run("up"))
    assert wait_until(lambda: not alone.processes(), 15)


def test_help_of_the_program() -> None:
    done = subprocess.run([str(UNIVERSE), "--help"], capture_output=True, text=True, check=True)
    assert "Usage: universe" in done.stdout


@pytest.mark.parametrize("command", ["up", "demo", "publish", "status", "migrate"])
def test_help(command: str) -> None:
    done = invoke(main, command, "--help", program="universe")
    assert done.exit_code == 0
    assert "Usage: universe" in done.stdout
