"""Section 1: doors fail closed, an open one warns, and a key reaches only who reads it."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nats
import nats.errors
import pytest

from functions.common.broker import without_login
from functions.common.paths import ROOT
from infra.local.functions.secrets import link_secrets, open_doors
from infra.local.gateway.settings import GatewaySettings
from infra.local.servers.nats import EmbeddedNats
from tests.support import kinds
from tests.support.functions import ENTRY, running
from tests.support.local_gateway import running_gateway
from tests.support.net import free_port, plain_http, wait_until
from tests.support.platform import RunningPlatform, platform
from tests.support.stored_events import generated

FUNCTIONS = {
    "ingest": ("ingest-api-key", "INGEST_AUTH"),
    "process_batch": ("batch-signing-key", "BATCH_AUTH"),
    "analytics_query": ("analytics-api-key", "ANALYTICS_AUTH"),
}


def start(arguments: list[str], folder: Path, **environment: str) -> tuple[int, list[str]]:
    """Run a component that is to end by itself, and return its exit status and its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SECRETS_DIR": str(folder),
            "PORT": str(free_port()),
            "HOST": "127.0.0.1",
            **environment,
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("name", kinds.quick_first(FUNCTIONS))
def test_a_function_without_its_secret_ends_with_one_line(name: str, tmp_path: Path) -> None:
    """Fail closed: a missing file was an open door, also where the environment held a key."""
    secret, setting = FUNCTIONS[name]
    status, lines = start(
        [str(ENTRY)],
        tmp_path,
        FUNCTION_MODULE=f"functions.{name}.handler",
        **{secret.upper().replace("-", "_"): "in the environment"},
    )
    assert status == 1
    [line] = lines
    assert f"the secret file {tmp_path / secret} is missing: create it" in line
    assert f"or set {setting}=none" in line


@pytest.mark.parametrize("name", kinds.quick_first(FUNCTIONS))
def test_a_function_with_an_empty_secret_ends_with_one_line(name: str, tmp_path: Path) -> None:
    """An empty secret counted as none, which opened the door; so it does not with `none` either."""
    secret, setting = FUNCTIONS[name]
    (tmp_path / secret).write_text(" \n")
    module = f"functions.{name}.handler"
    status, lines = start([str(ENTRY)], tmp_path, FUNCTION_MODULE=module, **{setting: "none"})
    assert status == 1
    [line] = lines
    assert f"the secret file {tmp_path / secret} is empty" in line


@pytest.mark.parametrize(
    ("module", "secret"),
    [
        ("infra.connector", "batch-signing-key"),
        pytest.param("infra.connector", "nats-url", marks=pytest.mark.slow),
        pytest.param("infra.monitoring.exporter", "database-reader-url", marks=pytest.mark.slow),
    ],
)
def test_a_service_with_an_empty_secret_ends_with_one_line(
    module: str, secret: str, tmp_path: Path
) -> None:
    """An empty or unreadable secret stops the component with one clear line."""
    (tmp_path / secret).touch()
    status, lines = start(["-m", module], tmp_path)
    assert status == 2
    [line] = lines
    assert line.startswith(f"the secret file {tmp_path / secret} is empty: write the secret")


def test_an_open_door_of_ingest_is_one_warning(tmp_path: Path) -> None:
    """`INGEST_AUTH=none` takes events from anybody, and says so at the start."""
    log = tmp_path / "log"
    with running("functions.ingest.handler", log, NATS_URL="nats://127.0.0.1:1") as function:
        assert plain_http.post(function.url, json={}, timeout=30).status_code != 401
    [warning] = [line for line in log.read_text().splitlines() if "_AUTH" in line]
    assert json.loads(warning)["level"] == "WARNING"
    assert json.loads(warning)["message"] == "INGEST_AUTH=none: anybody may send events"


async def test_a_key_in_the_secrets_folder_closes_the_door_locally(tmp_path: Path) -> None:
    """Files `ingest-api-key` and `analytics-api-key` gave 202 and 200 without a key, silently."""
    store = tmp_path / "secrets"
    store.mkdir()
    async with running_gateway(tmp_path) as gateway:
        annotations = {"com.universe.handler": "functions/ingest"}
        secrets = ["ingest-api-key"]
        where = {"NATS_URL": "nats://127.0.0.1:1"}
        url = f"{gateway.url}/function/ingest/"
        await gateway.deploy("ingest", annotations=annotations, secrets=secrets, envVars=where)
        as_json = {"Content-Type": "application/json"}
        async with gateway.client.post(url, headers=as_json) as answer:
            assert answer.status != 401
        (store / "ingest-api-key").write_text("one\ntwo\n")
        await gateway.deploy("locked", annotations=annotations, secrets=secrets, envVars=where)
        url = f"{gateway.url}/function/locked/"
        for key, refused in (("", True), ("three", True), ("one", False), ("two", False)):
            async with gateway.client.post(url, headers={**as_json, "X-Api-Key": key}) as answer:
                assert (answer.status == 401) is refused, key


async def test_a_function_gets_the_secrets_that_it_names_and_no_others(tmp_path: Path) -> None:
    """Every function's environment held every key: now it gets its own, as files."""
    store = tmp_path / "secrets"
    store.mkdir()
    for name in ("mine", "ingest-api-key", "batch-signing-key", "nats-url", "webhook-tiktok"):
        (store / name).write_text(f"value of {name}")
    handlers = {"functions.ingest.handler": {"MAX_EVENTS": "2"}}
    settings = {"function_env": {"NATS_URL": "nats://127.0.0.1:1"}, "handler_env": handlers}
    async with running_gateway(tmp_path, **settings) as gateway:
        await gateway.deploy("stranger", secrets=["mine"], envVars={"OWN": "1"})
        assert await gateway.call("stranger/secrets") == {"mine": "value of mine"}
        environment = await gateway.call("stranger/environment")
        assert (environment["OWN"], environment["NATS_URL"]) == ("1", "nats://127.0.0.1:1")
        assert "MAX_EVENTS" not in environment
        assert "value of" not in str(environment)
        stored = tmp_path / "functions.json"
        assert stat.S_IMODE(stored.stat().st_mode) == 0o600


def test_what_is_mounted_beside_what_is_named(tmp_path: Path) -> None:
    """On one machine a file is enough for a webhook; what nobody names goes to no function."""
    store = tmp_path / "secrets"
    store.mkdir()
    for name in ("nats-url", "webhook-tiktok", "database-url", "batch-signing-key"):
        (store / name).write_text("x")

    def linked(*names: str) -> set[str]:
        folder = link_secrets(store, tmp_path / "run", names)
        return {path.name for path in folder.iterdir()}

    assert linked("database-url") == {"database-url"}
    assert linked("nats-url", "ingest-api-key") == {"nats-url", "webhook-tiktok"}
    assert linked() == set()


async def test_embedded_nats_asks_for_a_login(tmp_path: Path) -> None:
    """An event published straight to the embedded server was stored, and its DLQ read."""
    server = EmbeddedNats(tmp_path / "nats", password="of this server")
    config = tmp_path / "nats" / "nats-server.conf"
    server.start()
    try:
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        bare = without_login(server.url)
        assert "of this server" not in bare
        for url in (bare, bare.replace("//", "//universe:wrong@")):
            with pytest.raises(nats.errors.Error, match="Authorization"):
                await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=0)
    finally:
        server.stop()


def test_addresses_are_logged_without_their_login() -> None:
    """A password in a log is read by others than its owner."""
    assert without_login("nats://u:p@a:1, nats://token@b:2,c:3") == "nats://a:1,nats://b:2,c:3"
    assert without_login("nats://u:p@ss@a:1") == "nats://a:1"
    assert GatewaySettings().handler_env == {}


# The whole platform


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # PostgreSQL's user has to be able to enter it
    with tempfile.TemporaryDirectory(prefix="universe-doors-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[RunningPlatform]:
    (folder / "up").mkdir()
    with platform(folder / "up", ZERO_DURATION="10m") as running:
        yield running


def basic_auth(up: RunningPlatform) -> tuple[str, str]:
    return ("admin", (up.state_dir / "secrets" / "basic-auth-password").read_text())


@pytest.mark.slow
def test_nobody_writes_behind_ingest_on_the_platform(up: RunningPlatform) -> None:
    """`POST /function/process-batch/` is refused by way of the gateway as well."""
    events = generated(20)
    answer = plain_http.post(f"{up.gateway}/function/process-batch/", json=events, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert up.run("publish", "--events", "20").returncode == 0
    assert up.wait_until_processed()["rowsStored"] == 20
    assert up.status()["deadLetters"] == 0
    assert up.run("dlq", "list").returncode == 0


@pytest.mark.slow
def test_no_secret_is_in_an_environment_or_readable_by_others(up: RunningPlatform) -> None:
    """Keys, passwords and logins are in files of mode 0600, and in no process's environment."""
    store = up.state_dir / "secrets"
    names = {path.name for path in store.iterdir()}
    assert {"batch-signing-key", "nats-url", "database-url", "basic-auth-password"} <= names
    secrets = {path.name: path.read_text().strip() for path in store.iterdir()}
    for path in store.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    wait_until(lambda: len(up.processes()) > 6, 30)
    for process in up.processes():
        text = "\0".join(process.environ().values())
        found = [name for name, value in secrets.items() if len(value) > 8 and value in text]
        assert not found, (process.cmdline(), found)
    for log in (up.state_dir / "logs").rglob("*.log"):
        text = log.read_text()
        found = [name for name, value in secrets.items() if len(value) > 8 and value in text]
        assert not found, (log, found)
    assert secrets["nats-url"] not in (up.state_dir / "platform.json").read_text()


def test_closed_reading_leaves_no_writing_open(tmp_path: Path) -> None:
    """On one machine writing is open where reading is, and never to those who were given a key."""
    names = ("ingest-api-key", "analytics-api-key", "analytics-write-key")
    assert open_doors(tmp_path, names) == {
        "INGEST_AUTH": "none",
        "ANALYTICS_AUTH": "none",
        "ANALYTICS_WRITE_AUTH": "none",
    }
    (tmp_path / "analytics-api-key").write_text("x")
    assert open_doors(tmp_path, names) == {"INGEST_AUTH": "none"}
    (tmp_path / "analytics-api-key").unlink()
    (tmp_path / "analytics-write-key").write_text("x")
    assert open_doors(tmp_path, names) == {"INGEST_AUTH": "none", "ANALYTICS_AUTH": "none"}


@pytest.mark.slow
def test_the_start_prints_which_doors_are_open(up: RunningPlatform) -> None:
    """Which doors are open, what that means, and what closes them."""
    said = " ".join(up.log.read_text().split())
    for text in ("anybody who reaches the gateway may send events", "may read", "may write spend"):
        assert text in said
    assert "open door analytics-query" in said
    assert "open door ingest" in said
    assert "open door process-batch" not in said
    log = (up.state_dir / "logs" / "platform.log").read_text()
    assert log.count("open door: ") == 3


@pytest.mark.slow
def test_with_keys_the_platform_is_closed_and_its_commands_use_them(folder: Path) -> None:
    """Keys of the platform's environment become files; `publish` and `demo` send them."""
    (folder / "closed").mkdir()
    closed = RunningPlatform(folder / "closed", INGEST_API_KEY="sesame for ingest")
    closed.state_dir.mkdir()
    store = closed.state_dir / "secrets"
    store.mkdir(mode=0o700)
    (store / "analytics-api-key").write_text("sesame for reports")
    closed.start()
    try:
        assert "open door" not in closed.log.read_text()
        report = f"{closed.gateway}/function/analytics-query/analytics/overview"
        for url, method, key in (
            (closed.ingest, "POST", "sesame for ingest"),
            (report, "GET", "sesame for reports"),
        ):
            statuses = [
                plain_http.request(method, url, headers=headers, json=[], timeout=60).status_code
                for headers in ({}, {"X-Api-Key": "wrong"}, {"X-Api-Key": key})
            ]
            assert statuses[:2] == [401, 401]
            assert statuses[2] != 401
        for process in closed.processes():
            parent = process.parent()
            if parent and closed.process and parent.pid == closed.process.pid:
                assert "sesame" not in str(process.environ())
        closed.environment = {}
        done = closed.run("publish", "--events", "10", "--json")
        assert done.returncode == 0, done.stderr
    finally:
        assert closed.stop() == 0
    (store / "ingest-api-key").write_text("\n")
    done = closed.run("up")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"the secret file {store / 'ingest-api-key'} is empty" in done.stderr
