"""Migrations: forth and back, again, at the same time, and refused for other versions."""

import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from click.testing import CliRunner

from functions.common.paths import ROOT
from infra.cli.commands.migrate import migrate as migrate_command
from infra.database.dump_schema import SCHEMA_FILE, dump_schema
from infra.database.errors import DatabaseError
from infra.database.include_functions import with_functions
from infra.database.migrate import (
    MIGRATIONS,
    dbmate_command,
    dbmate_environment,
    migrate,
    rollback,
    status,
)
from infra.local.servers.postgres import EmbeddedPostgres
from scripts.page_commands import commands, section

SCHEMA = """
SELECT c.relkind::text, c.relname::text, coalesce(pg_get_viewdef(c.oid),
       (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                          ORDER BY a.attnum)
        FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0)), c.relacl::text
FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'f', p.oid::regprocedure::text, p.prosrc, p.proacl::text
FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
ORDER BY 1, 2
"""


@pytest.fixture
def empty_urls(postgres: EmbeddedPostgres) -> list[str]:
    names = [f"migrations_{number}" for number in range(3)]
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
    return [postgres.url(database=name) for name in names]


def schema(url: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(SCHEMA).fetchall()


def test_migrate_roll_back_and_migrate_again(empty_urls: list[str]) -> None:
    url = empty_urls[0]
    assert status(url).applied == ()
    migrate(url)
    first = schema(url)
    migrate(url)
    applied = status(url).applied
    assert status(url).pending == ()
    assert len(applied) == len(list(MIGRATIONS.glob("*.sql"))) >= 1
    for left in range(len(applied) - 1, -1, -1):
        rollback(url)
        assert len(status(url).applied) == left
    assert {name for _, name, *_ in schema(url)} <= {"schema_migrations", "schema_migrations_pkey"}
    page = section((ROOT / "docs/operations.md").read_text(), "Upgrade and rollback")
    forth, back = [
        shlex.split(line, comments=True)[2:]
        for line in commands(page).splitlines()
        if line.startswith("universe migrate")
    ]
    for options, left in ((forth, len(applied)), (back, len(applied) - 1), (forth, len(applied))):
        done = CliRunner().invoke(migrate_command, options, env={"DATABASE_URL": url})
        assert done.exit_code == 0, done.output
        assert len(status(url).applied) == left
    assert schema(url) == first


def test_databases_of_one_cluster_are_migrated_at_the_same_time(empty_urls: list[str]) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(migrate, empty_urls * 2))
    assert all(status(url).pending == () for url in empty_urls)


def test_newer_database_is_refused(empty_urls: list[str]) -> None:
    url = empty_urls[0]
    migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('29990101000000')")
    for refused in (migrate, rollback):
        with pytest.raises(DatabaseError, match="newer"):
            refused(url)


OLDER = [
    *("20261122170001", "20261122170002", "20261122170003", "20261122180001", "20261122190001"),
    *("20261122200001", "20261122210001"),
]
"""The migrations from before the first release."""


def test_database_of_an_older_version_is_refused_and_stays(empty_urls: list[str]) -> None:
    url = empty_urls[0]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
        connection.execute("INSERT INTO schema_migrations SELECT unnest(%s::text[])", [OLDER])
        connection.execute("CREATE TABLE events (event_id text)")
    before = schema(url)
    line = re.escape(
        "the database was made by an older version of Universe (migration 20261122210001), which "
        'this version cannot take over: migrate an empty database (for "universe up", set '
        "STATE_DIR to an empty folder)"
    )
    for refused in (migrate, rollback):
        with pytest.raises(DatabaseError, match=f"^{line}$"):
            refused(url)
    command = CliRunner().invoke(migrate_command, ["--url", url])
    assert command.exit_code != 0
    assert re.search(line, " ".join(command.output.split()))
    # the migration itself says so too, for the job that runs dbmate alone
    job = subprocess.run(
        [*dbmate_command(), "--migrations-dir", str(MIGRATIONS), "--no-dump-schema", "migrate"],
        env=dbmate_environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert job.returncode != 0
    assert re.search(f"^Error: pq: {line}", job.stderr, re.MULTILINE)
    assert schema(url) == before
    assert status(url).applied == tuple(OLDER)


def test_a_database_of_other_texts_is_refused(postgres: EmbeddedPostgres) -> None:
    """Texts that are not ASCII would be refused event by event, or stored and never found."""
    name = "migrations_ascii"
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'".encode()
        )
    with pytest.raises(DatabaseError) as refused:
        migrate(postgres.url(database=name))
    assert str(refused.value) == (
        "the database stores texts as SQL_ASCII: Universe needs UTF8. Create it with "
        "ENCODING 'UTF8' TEMPLATE template0"
    )


def test_schema_file_is_what_the_migrations_make(empty_urls: list[str]) -> None:
    url = empty_urls[0]
    migrate(url)
    assert dump_schema(url) == SCHEMA_FILE.read_text(), (
        "write it again: DATABASE_URL=... python -m infra.database.dump_schema > sql/schema.sql"
    )


def test_migrations_hold_the_functions_of_their_files() -> None:
    for file, text in with_functions().items():
        assert file.read_text() == text, "run python -m infra.database.include_functions"


def test_what_is_wrong_is_said_in_one_line(empty_urls: list[str], tmp_path: object) -> None:
    with pytest.raises(DatabaseError, match="cannot be reached"):
        migrate("postgresql://nobody:wrong@127.0.0.1:1/nothing")
    with psycopg.connect(empty_urls[1]) as connection:
        connection.execute("CREATE TABLE events (id int)")
    with pytest.raises(DatabaseError, match="already exists"):
        migrate(empty_urls[1])
