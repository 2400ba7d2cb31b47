"""No log has what events or questions say of people.

Protects "No personal data in logs (userId, where, query strings)".
"""

import json
import logging
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nats
import psycopg
import pytest

from functions.common import logs
from functions.common.paths import ROOT
from functions.common.postgres import summary
from infra.cli.load.event_generator import generate
from infra.local import state_dir
from infra.local.servers.postgres import SERVER_SETTINGS, EmbeddedPostgres
from tests.conftest import Database
from tests.support import oracle
from tests.support.analytics import analytics
from tests.support.net import plain_http, wait_until
from tests.support.platform import RunningPlatform, platform
from tests.support.storage import BATCH, Event, cloud_event, post, process_batch
from tests.support.stored_events import generated, store

MARKER = "jane-doe-of-springfield"
DEBUG = {"LOG_LEVEL": "DEBUG"}


def marked(event: Event, number: int = 0) -> Event:
    """Return a valid event that names the person wherever it can."""
    copy = json.loads(json.dumps(event))
    user = copy["data"]["user"]
    user["userId"] = user["note"] = f"{MARKER}-{number}"
    user["name" if "name" in user else "username"] = MARKER
    if "location" in user:
        user["location"] = {"country": MARKER, "city": MARKER}
    return {**copy, "eventId": f"{MARKER}-{number}", "campaign": {"note": MARKER}}


NOW = datetime.now(UTC)
GOOD = [marked(event, number) for number, event in enumerate(generated(40, seed=41, until=NOW))]
BAD: list[Any] = [
    {**GOOD[0], "eventType": MARKER},
    {**GOOD[1], "source": MARKER},
    {**GOOD[2], "timestamp": MARKER},
    {**GOOD[3], "funnelStage": MARKER},
    {**GOOD[4], MARKER: MARKER, "data": {MARKER: MARKER}},
    {**GOOD[5], "campaign": MARKER + "\0"},
    {**GOOD[6], "eventId": MARKER * 20},
    {**GOOD[7], "data": MARKER},
    MARKER,
    [MARKER],
]
BROKEN = f'{{"eventId": "{MARKER}", "data": '.encode()
QUESTIONS = (
    {"userId": MARKER},
    {"where": json.dumps({"user": {"name": MARKER}})},
    {"where": '{"user": {"name": "' + MARKER + '\\u0000"}}'},
    {"where": MARKER},
    {"from": MARKER},
    {"cursor": MARKER},
    {"country": MARKER + "\0"},
    {MARKER: "1"},
)


def assert_unmarked(*files: Path) -> None:
    assert files
    for file in files:
        text = file.read_bytes()
        lines = [line for line in text.splitlines() if MARKER.encode() in line]
        assert not lines, f"{file}: {lines[0][:2000]!r}"


def test_process_batch(database: Database, tmp_path: Path) -> None:
    log = tmp_path / "process-batch.log"
    with process_batch(database.writer_url, log, **DEBUG) as function:
        batch = [cloud_event(1, GOOD[:20]), cloud_event(2, BAD), cloud_event(3, GOOD[:5])]
        answer = post(function, batch, BATCH)
        assert answer.status_code == 200
        assert MARKER in answer.text  # the reasons are for the dead-letter queue
        post(function, BROKEN)
        with psycopg.connect(database.url, autocommit=True) as owner:
            # the database refuses every row, with a text that quotes it
            owner.execute(
                "ALTER TABLE events ADD CONSTRAINT no_more CHECK (user_id < 'a') NOT VALID"
            )
            refused = post(function, [cloud_event(4, GOOD[20:])], BATCH)
            assert MARKER in refused.text
            owner.execute("DROP TABLE rollup_deltas CASCADE")
            post(function, [cloud_event(5, GOOD[20:])], BATCH)
        assert '"batch stored"' in log.read_text()
    assert_unmarked(log)


def test_analytics_query(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    with analytics(postgres, migrated_template, tmp_path, **DEBUG) as live:
        store(live.owner_url, GOOD)
        for question in QUESTIONS:
            for report in ("events", "overview", "users", f"{MARKER}"):
                live.get(report, **question)
        raw(live.function.url, f"GET /analytics/events?userId={MARKER} HTTP/9.9\r\n\r\n")
        raw(live.function.url, f"GET /{MARKER} {MARKER} HTTP/1.1\r\nHost: a\r\n\r\n")
        raw(live.function.url, f"GET / HTTP/1.1\r\nHost: a\r\n{MARKER}\x01: {MARKER}\r\n\r\n")
        log = live.function.log
        assert wait_until(lambda: "request served" in log.read_text())
    assert_unmarked(log, postgres.log_file)


def raw(url: str, request: str) -> None:
    """Send something that is no valid HTTP request."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as sock:
        sock.sendall(request.encode())
        while sock.recv(65536):
            pass


def test_the_embedded_database_logs_no_rows(database: Database, postgres: EmbeddedPostgres) -> None:
    """What quotes rows or statements is told to the client only."""
    statements = (
        f"SELECT '{MARKER}'::jsonb",
        f"SELECT '{MARKER}'::int",
        f"INSERT INTO event_days SELECT '2020-01-01' FROM generate_series(1, 2) -- {MARKER}",
        f'SELECT nothing FROM "{MARKER}"',
    )
    with psycopg.connect(database.url, autocommit=True) as connection:
        for statement in statements:
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode())
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT %s::text::jsonb", [MARKER])
        with pytest.raises(psycopg.Error) as raised:
            connection.execute("SELECT %s::text::timestamptz", [MARKER])
    assert MARKER in str(raised.value)
    assert MARKER not in summary(raised.value)
    assert_unmarked(postgres.log_file)


@pytest.mark.parametrize(
    "file",
    [
        "infra/compose.yaml",
        "infra/kubernetes/overlays/single-node/postgres.yaml",
        "infra/kubernetes/overlays/production/postgres.yaml",
    ],
)
def test_other_databases_are_set_up_the_same(file: str) -> None:
    text = (ROOT / file).read_text()
    wanted = {name: value for name, value in SERVER_SETTINGS.items() if name.startswith("log_")}
    assert len(wanted) == 6
    for name, value in wanted.items():
        assert re.search(rf'{name}(=|: "?){value}\b', text), name


def test_a_stack_trace_has_no_message() -> None:
    """Messages of unexpected errors hold the data that raised them."""

    def fail() -> None:
        try:
            int(MARKER)
        except ValueError as error:
            raise KeyError(MARKER) from error

    stream = StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        logs.configure("test", "DEBUG", stream)
        try:
            fail()
        except KeyError:
            logging.getLogger("test").exception("unexpected error")
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    line = json.loads(stream.getvalue())
    assert "in fail" in line["exc_info"]
    assert "builtins.ValueError" in line["exc_info"]
    assert "builtins.KeyError" in line["exc_info"]
    assert MARKER not in stream.getvalue()


@pytest.fixture(scope="module")
def up() -> Iterator[RunningPlatform]:
    folder = Path(tempfile.mkdtemp(prefix="universe-e2e-"))
    with platform(folder, **DEBUG) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


def log_files(up: RunningPlatform) -> list[Path]:
    return [up.log, *(file for file in up.state_dir.rglob("*.log*") if file.is_file())]


@pytest.mark.slow
async def test_the_whole_platform(up: RunningPlatform) -> None:
    """Good and bad events and questions of a person pass every component; then the person goes."""
    sent = [each.event for each in generate(400, seed=42) if each.kind == "new"]
    mine = [marked(event, number) for number, event in enumerate(sent[:50])]
    mine = [json.loads(json.dumps(e).replace(f'"userId": "{MARKER}-{n}"', f'"userId": "{MARKER}"'))
            for n, e in enumerate(mine)]  # fmt: skip
    assert plain_http.post(up.ingest, json=[*mine, *sent[50:], *BAD], timeout=60).is_success
    plain_http.post(up.ingest, content=BROKEN)
    plain_http.post(f"{up.ingest}?userId={MARKER}", json=BAD)
    plain_http.get(f"{up.gateway}/function/ingest/{MARKER}")
    plain_http.get(f"{up.gateway}/function/{MARKER}?userId={MARKER}")
    headers = {"X-Callback-Url": f"http://127.0.0.1:9/?userId={MARKER}"}
    url = up.ingest.replace("/function/", "/async-function/")
    plain_http.post(f"{url}?userId={MARKER}", json=BAD, headers=headers)
    raw(up.gateway, f"GET /{MARKER} {MARKER} HTTP/1.1\r\nHost: a\r\n\r\n")
    broker = state_dir.broker_settings(up.state_dir)
    nc = await nats.connect(broker.nats_url, user=broker.nats_user, password=broker.nats_password)
    more = [marked(event, 1000 + number) for number, event in enumerate(sent[50:60])]
    for payload in (BROKEN, json.dumps(BAD).encode(), json.dumps(more).encode()):
        await nc.jetstream().publish("events.facebook", payload)
    await nc.close()
    up.wait_until_processed()
    for question in QUESTIONS:
        url = f"{up.gateway}/function/analytics-query/analytics/events"
        plain_http.get(url, params=question, timeout=60)
    files = log_files(up)
    assert {"platform.log", "connector.log", "postgres.log", "nats-server.log"} <= {
        file.name for file in files
    }
    assert_unmarked(*files)
    for file in files:
        if file != up.log:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((up.state_dir / "logs").stat().st_mode) == 0o700

    exported = up.run("export", "--user", MARKER)
    assert exported.returncode == 0, exported.stderr
    stored = [json.loads(line) for line in exported.stdout.splitlines()]
    assert len([each for each in stored if "deadLetter" not in each]) == len(mine)
    erased = up.run("erase", "--user", MARKER, "--yes", "--json")
    assert erased.returncode == 0, erased.stderr
    assert json.loads(erased.stdout)["events"] == len(mine)
    assert json.loads(up.run("erase", "--user", MARKER, "--dry-run", "--json").stdout) == {
        "events": 0, "days": 0, "deadLetters": 0, "waitingMessages": 0,
    }  # fmt: skip
    left = oracle.facts([*sent[50:], *more])
    for exact in ("true", "false"):
        totals = up.report("overview", exact=exact, source="tiktok")["totals"]
        others = [fact for fact in left if fact.source == "tiktok"]
        assert totals["events"] == len(others)
    assert_unmarked(*log_files(up))
