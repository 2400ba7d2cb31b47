"""process-batch while the database is away, restarts, or is busy."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from infra.database.migrate import migrate
from infra.local.servers.postgres import DATABASE, WRITER, EmbeddedPostgres
from tests.conftest import Database
from tests.support.net import plain_http, wait_until
from tests.support.storage import BATCH, ask, assert_rollups_exact, cloud_event, post, process_batch
from tests.support.stored_events import generated


@pytest.mark.slow
def test_batches_wait_out_a_restart_of_the_database(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    server = postgres_server
    server.ensure_database()
    migrate(server.url())
    server.set_role_passwords()
    events = generated(400)
    batch = [cloud_event(0, events)]
    with process_batch(server.url(WRITER), tmp_path / "log", DB_POOL_TIMEOUT="0.5") as function:
        assert post(function, [cloud_event(0, events[:10])], BATCH).content == b""
        server.stop()

        answer = post(function, batch, BATCH)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 0
        assert answer.headers["Content-Type"] == "application/problem+json"
        readiness = plain_http.get(function.url + "/health/readiness", timeout=30)
        assert (readiness.status_code, readiness.json()["status"]) == (503, "unavailable")
        assert plain_http.get(function.url + "/health/liveness").status_code == 200

        server.start()
        wait_until(lambda: post(function, batch, BATCH).status_code == 200, 60)
        ready = wait_until(
            lambda: plain_http.get(function.url + "/health/readiness", timeout=30).is_success, 60
        )
        assert ready
        # the second crash is in the middle of work
        more = generated(3000, seed=2)
        with ThreadPoolExecutor(3) as threads:
            parts = [[cloud_event(1, more[at : at + 500])] for at in range(0, 3000, 500)]
            first = threads.submit(post, function, parts[0], BATCH)
            server.kill()
            answers = [first, *(threads.submit(post, function, part, BATCH) for part in parts[1:])]
            assert {answer.result().status_code for answer in answers} <= {200, 503}
        server.start()
        for part in parts:
            wait_until(lambda part=part: post(function, part, BATCH).status_code == 200, 60)
    stored = Database(DATABASE, server.url(), server.url(WRITER), "")
    assert ask(stored, "SELECT count(*) FROM events") == [(3400,)]
    assert ask(stored, "SELECT sum(events) FROM live_hour_countries") == [(3400,)]


def test_database_that_is_not_migrated_is_no_fault_of_the_batch(
    postgres_server: EmbeddedPostgres, database: Database, tmp_path: Path
) -> None:
    postgres_server.ensure_database()
    events = generated(5)
    with process_batch(postgres_server.url(), tmp_path / "log") as function:
        answer = post(function, [cloud_event(0, events)], BATCH)
        assert answer.status_code == 503
        migrate(postgres_server.url())
        assert post(function, [cloud_event(0, events)], BATCH).content == b""


def test_locked_partition_is_no_fault_of_the_batch(database: Database, tmp_path: Path) -> None:
    events = generated(20)
    with (
        process_batch(database.writer_url, tmp_path / "log", DB_STATEMENT_TIMEOUT="1") as function,
        psycopg.connect(database.url) as other,
    ):
        assert post(function, events[:10]).json()["inserted"] == 10
        other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        assert post(function, events).status_code == 503
        other.rollback()
        assert post(function, events).json() == {
            "received": 20,
            "inserted": 10,
            "duplicates": 10,
            "dead": [],
        }


def test_full_pool_answers_in_time(database: Database, tmp_path: Path) -> None:
    events = generated(20)
    with (
        process_batch(
            database.writer_url,
            tmp_path / "log",
            DB_POOL_MAX="1",
            DB_POOL_TIMEOUT="2",
            COMPACTION_INTERVAL="0",  # it would take the one connection at a time of its own
        ) as function,
        psycopg.connect(database.url) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        assert post(function, events[:10]).status_code == 200
        other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        waiting = threads.submit(post, function, events)
        wait_until(lambda: pool_is_used(function.url), 30)
        assert post(function, events).status_code == 503
        other.rollback()
        assert waiting.result().status_code == 200


def pool_is_used(url: str) -> bool:
    text = plain_http.get(url + "/metrics").text
    return 'universe_process_batch_pool_connections{state="idle"} 0.0' in text


def test_compaction_that_is_cut_off_is_tried_again(database: Database, tmp_path: Path) -> None:
    events = generated(300)
    with (
        process_batch(
            database.writer_url, tmp_path / "log", DB_STATEMENT_TIMEOUT="0.5"
        ) as function,
        psycopg.connect(database.url) as other,
    ):
        other.execute("LOCK TABLE rollup_day_types IN ACCESS EXCLUSIVE MODE")
        assert post(function, events).json()["inserted"] == 300
        log = function.log
        wait_until(lambda: "takes longer than a statement may" in log.read_text(), 60)
        other.rollback()
        wait_until(lambda: ask(database, "SELECT count(*) FROM rollup_deltas") == [(0,)], 60)
    assert_rollups_exact(database)
