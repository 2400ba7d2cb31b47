"""PostgreSQL 15 and 16, which Debian and many clouds run, where this machine has their packages."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from infra.database.errors import DatabaseError
from infra.database.migrate import migrate, refuse_old_servers, rollback
from infra.database.seal import seal_finished_days
from infra.local.servers import postgres as embedded
from infra.local.servers.postgres import DATABASE, OWNER, WRITER, EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import analytics
from tests.support.reports import assert_reports_exact, assert_users_exact
from tests.support.stored_events import compact_deltas, generated, store

pytestmark = pytest.mark.timeout(300)
BINARIES = "/usr/lib/postgresql/{}/bin"


@pytest.fixture(params=["15", "16"])
def older(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedPostgres]:
    """A server of Debian's package, set up as the embedded one."""
    binaries = Path(BINARIES.format(request.param))
    if not (binaries / "initdb").exists():
        pytest.skip(f"there is no PostgreSQL {request.param}: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None

    def initialise(data: Path) -> tuple[Path, str | None]:
        data.mkdir(parents=True, exist_ok=True)
        if user:
            for each in (data, data.parent):
                shutil.chown(each, user)
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(data), "-U", OWNER, "-A", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        return binaries, user

    monkeypatch.setattr(embedded, "_initialise", initialise)
    folder = Path(tempfile.mkdtemp(prefix="universe-test-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres", settings={"fsync": "off"})
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_events_are_stored_sealed_and_reported(older: EmbeddedPostgres, tmp_path: Path) -> None:
    older.ensure_database()
    owner = older.url()
    migrate(owner)
    rollback(owner)
    migrate(owner)
    older.set_role_passwords()
    with analytics(older, DATABASE, tmp_path, USERS_SCAN_LIMIT="1000000") as live:
        name = live.owner_url.rpartition("/")[2].partition("?")[0]
        writer = older.url(WRITER, name)
        events = generated(4000)
        result = store(writer, [*events, *events[:50]])
        assert (result.inserted, result.duplicates) == (4000, 50)
        compact_deltas(writer)
        assert seal_finished_days(live.owner_url, timedelta())
        store(writer, late := generated(200, seed=2))
        assert_reports_exact(live)
        assert_users_exact(live, oracle.facts(events + late))
        with psycopg.connect(live.owner_url, autocommit=True) as connection:
            connection.execute("CALL drop_days_before('2999-01-01')")
            assert connection.execute("SELECT count(*) FROM events").fetchall() == [(0,)]


def test_a_server_that_is_too_old_is_refused_in_one_line(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.url(database="postgres")) as connection:
        refuse_old_servers(connection.info.server_version)
    with pytest.raises(DatabaseError) as refused:
        refuse_old_servers(140_012)
    assert str(refused.value) == (
        "the database is PostgreSQL 14: Universe needs 15 or newer. Use a newer server"
    )
