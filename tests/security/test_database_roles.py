"""Protects: reader and writer without large objects, temporary tables and the folding lock.

Real servers: the statements are refused by PostgreSQL for want of rights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from infra.database.migrate import MIGRATIONS, migrate, rollback
from infra.local.servers.postgres import READER, WRITER, EmbeddedPostgres
from tests.conftest import Database
from tests.support.manifests import copy, named, render
from tests.support.stored_events import generated, store

OF_NO_ROLE = (
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_get(1)",
    "SELECT lo_put(1, 0, 'x')",
    "SELECT lo_open(1, 262144)",
    "SELECT lo_unlink(1)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_advisory_lock(rollups_lock())",
    "SELECT pg_advisory_lock(7305, 2)",
    "SELECT pg_try_advisory_lock(rollups_lock())",
    "SELECT pg_advisory_xact_lock(partitions_lock())",
    "SELECT pg_advisory_xact_lock(7305, 1)",
    "SELECT pg_try_advisory_xact_lock(sealing_lock())",
    "SELECT pg_advisory_lock_shared(rollups_lock())",
    "SELECT pg_advisory_unlock_all()",
    "CREATE TABLE mine (a int)",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "DELETE FROM events",
    "UPDATE event_days SET sealed_at = NULL",
    "SELECT drop_day('2026-01-01')",
)
OF_NO_READER = (
    "CREATE TEMP TABLE mine (a int)",
    "SELECT try_rollups_lock()",
    "INSERT INTO rollup_deltas SELECT * FROM rollup_deltas",
    "DELETE FROM rollup_day_types",
    "SELECT ensure_partitions('{2026-01-01}')",
    "INSERT INTO events SELECT * FROM events",
    "UPDATE events SET revenue = 0",
    "INSERT INTO event_days (day) VALUES ('2026-01-01')",
    "UPDATE rollup_day_types SET events = 0",
    "INSERT INTO erasures DEFAULT VALUES",
    "TRUNCATE workspace.spend",
    "DROP TABLE workspace.spend",
    "CREATE TABLE workspace.mine (a int)",
)


@contextmanager
def own_database(postgres: EmbeddedPostgres, owner: str = "postgres") -> Iterator[Database]:
    """Make an empty database: rights on a database are not copied with the template."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
        yield Database(
            name,
            postgres.url(database=name),
            postgres.url(WRITER, name),
            postgres.url(READER, name),
        )
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def migrated(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Database]:
    with own_database(postgres) as database:
        migrate(database.url)
        yield database


def assert_refused(url: str, statements: tuple[str, ...]) -> None:
    """Assert that the role lacks the right to each, whatever it sets for its session."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            try:
                connection.execute(statement.encode())
            except InsufficientPrivilege:
                continue
            pytest.fail(f"not refused: {statement}")


def test_reader_reads_and_does_nothing_else(migrated: Database) -> None:
    """No large objects, temporary tables, advisory locks: not even out of its read-only mode."""
    assert_refused(migrated.reader_url, OF_NO_ROLE + OF_NO_READER)
    with psycopg.connect(migrated.reader_url) as connection:
        assert connection.execute("SELECT count(*) FROM live_day_types").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM monitored_sessions()").fetchone()


def test_reader_keeps_the_workspace_in_transactions_that_say_so(migrated: Database) -> None:
    """It changes rows of the schema `workspace`, read-only unless it names itself READ WRITE."""
    insertion = "INSERT INTO workspace.spend VALUES ('2026-11-01', 'facebook', 'a', 1)"
    with psycopg.connect(migrated.url) as owner:
        tables = owner.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'workspace'::regnamespace "
            "AND relkind = 'r'"
        ).fetchall()
        assert tables
        for [table] in tables:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                for role, has in ((READER, True), (WRITER, False)):
                    found = owner.execute(
                        "SELECT has_table_privilege(%s, %s, %s)",
                        [role, f"workspace.{table}", right],
                    ).fetchone()
                    assert found == (has,), (role, table, right)
    with psycopg.connect(migrated.reader_url, autocommit=True) as connection:
        with pytest.raises(ReadOnlySqlTransaction):
            connection.execute(insertion)
        with connection.transaction(force_rollback=True):
            connection.execute("SET TRANSACTION READ WRITE")
            connection.execute(insertion)
            connection.execute("UPDATE workspace.spend SET amount = 2")
            connection.execute("DELETE FROM workspace.spend")
            with pytest.raises(InsufficientPrivilege), connection.transaction():
                connection.execute("DELETE FROM events")
    assert_refused(migrated.writer_url, ("SELECT * FROM workspace.spend",))


def test_writer_writes_and_does_nothing_else(migrated: Database) -> None:
    """It has temporary tables and the lock for compaction, which it needs, and no more."""
    assert_refused(migrated.writer_url, OF_NO_ROLE)
    assert store(migrated.writer_url, generated(20)).inserted == 20
    with psycopg.connect(migrated.writer_url) as one, psycopg.connect(migrated.writer_url) as two:
        assert one.execute("SELECT try_rollups_lock()").fetchone() == (True,)
        assert two.execute("SELECT try_rollups_lock()").fetchone() == (False,)
        one.rollback()
        assert two.execute("SELECT try_rollups_lock()").fetchone() == (True,)


@pytest.mark.parametrize("database", ["postgres", "template1"])
@pytest.mark.parametrize("role", [READER, WRITER])
def test_roles_connect_to_their_own_database_only(
    postgres: EmbeddedPostgres, migrated_template: str, role: str, database: str
) -> None:
    """Neither role gets into the databases that every server has."""
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.url(role, database))


def test_rolling_back_gives_rights_back(postgres: EmbeddedPostgres, migrated_template: str) -> None:
    """The migration can be undone, and what PostgreSQL gives to nobody stays closed."""
    with own_database(postgres) as database:
        migrate(database.url)
        rollback(database.url)
        with psycopg.connect(database.reader_url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("CREATE TEMP TABLE mine (a int)")
            connection.execute("SELECT pg_advisory_lock(1), lo_create(0)")
            with pytest.raises(InsufficientPrivilege):
                connection.execute("SELECT lo_import('/etc/passwd')")


@pytest.fixture
def owner(postgres: EmbeddedPostgres) -> Iterator[tuple[str, str]]:
    """An owner that is no superuser, as a managed server has: its name and password."""
    name = f"owner_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'owner'".encode())
        connection.execute(f"GRANT pg_monitor TO {name}".encode())
        yield name, f"postgresql://{name}:owner@127.0.0.1:{postgres.port}"
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_owner_without_superuser_is_told_what_stays_open(
    postgres: EmbeddedPostgres, migrated_template: str, owner: tuple[str, str]
) -> None:
    """On a managed server the migration takes what it may, and warns about the rest."""
    name, url = owner
    with own_database(postgres, name) as database:
        migrate(f"{url}/{database.name}")
        assert_refused(database.reader_url, OF_NO_READER)
        with psycopg.connect(database.reader_url) as connection:
            connection.execute("SELECT pg_try_advisory_xact_lock(1)")
        [file] = MIGRATIONS.glob("*_schema.sql")
        text = (
            file.read_text().partition("-- RIGHTS OF EVERY ROLE")[2].partition("-- MONITORING")[0]
        )
        said: list[str] = []
        with psycopg.connect(f"{url}/{database.name}") as connection:
            connection.add_notice_handler(
                lambda d: said.append(f"{d.severity}: {d.message_primary}")
            )
            connection.execute(text.encode())
        [warning] = [line for line in said if line.startswith("WARNING")]
        assert f"{name} does not own these functions" in warning


def test_operator_closes_what_the_owner_cannot(
    postgres: EmbeddedPostgres, migrated_template: str, owner: tuple[str, str], tmp_path: Path
) -> None:
    """The overlay production: its superuser's statements, then the migration as the owner."""
    name, url = owner
    manifests = render(copy(tmp_path) / "infra/kubernetes/overlays/production")
    initdb = named(manifests, "Cluster", "postgres")["spec"]["bootstrap"]["initdb"]
    with own_database(postgres, name) as database:
        with psycopg.connect(database.url, autocommit=True) as connection:
            for statement in initdb["postInitApplicationSQL"]:
                text = statement.replace("TO universe'", f"TO {name}'")
                connection.execute(text.encode())
        migrate(f"{url}/{database.name}")
        assert_refused(database.reader_url, OF_NO_ROLE + OF_NO_READER)
        assert_refused(database.writer_url, OF_NO_ROLE)
        assert store(database.writer_url, generated(20)).inserted == 20
        with psycopg.connect(database.writer_url) as connection:
            assert connection.execute("SELECT try_rollups_lock()").fetchone() == (True,)
