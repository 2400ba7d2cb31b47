"""Real servers for the tests, started once a session where they are first asked for."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
import psycopg
import pytest
from nats.js.errors import NotFoundError
from psycopg import sql

from infra.database.migrate import migrate
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import READER, WRITER, EmbeddedPostgres
from tests.support import kinds
from tests.support.functions import Function, running
from tests.support.net import wait_until
from tests.support.workers import FixtureScheduling

TEMPLATE = "universe_template"

# jsonschema would check IRIs with it, which no schema here has; its import compiles a grammar for
# seven seconds, in each worker
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    kinds.load_hypothesis_profile(config)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return kinds.has_nothing_to_run(collection_path, config) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kinds.add_properties_to_the_slow_run(config, items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FixtureScheduling:
    return FixtureScheduling(config, log)


@dataclass(frozen=True)
class Database:
    """A migrated database of a test's own, by the roles that connect to it."""

    name: str
    url: str
    writer_url: str
    reader_url: str


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    # not below pytest's own folder, which only root can enter: PostgreSQL runs as another user
    folder = Path(tempfile.mkdtemp(prefix="universe-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def session_nats(servers_folder: Path) -> Iterator[EmbeddedNats]:
    # nothing of it has to survive a crash: each message would wait for the disk
    server = EmbeddedNats(servers_folder / "nats", sync_interval="2m")
    server.start()
    yield server
    server.stop()


_STREAMS = "jetstream/*/streams/*"


@pytest.fixture
async def nats_url(session_nats: EmbeddedNats) -> str:
    """The session's NATS server, without any stream."""
    nc = await nats.connect(session_nats.url)
    js = nc.jetstream()
    for stream in await js.streams_info():
        try:
            await js.delete_stream(stream.config.name or "")
        except NotFoundError:
            continue
    await nc.close()
    # the server deletes files after its response: a stream of the same name made meanwhile may fail
    try:
        wait_until(lambda: not any(session_nats.folder.glob(_STREAMS)), 10)
    except AssertionError:
        # one was made again while it was being deleted: the server leaves some files for good then
        for remains in session_nats.folder.glob(_STREAMS):
            shutil.rmtree(remains, ignore_errors=True)
    return session_nats.url


@pytest.fixture(scope="module")
def ingest(
    session_nats: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Function]:
    """A running ingest that asks for no key, on the session's NATS server."""
    log = tmp_path_factory.mktemp("ingest") / "log"
    with running("functions.ingest.handler", log, NATS_URL=session_nats.url) as function:
        yield function


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """A NATS server of the test's own, to stop, kill and start again."""
    server = EmbeddedNats(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL server."""
    # nothing of it has to survive a crash, and making a database for each test is faster so
    unsafe = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    server = EmbeddedPostgres(servers_folder / "postgres", settings=unsafe)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of the test's own, to stop, kill and start again; no database yet."""
    folder = Path(tempfile.mkdtemp(prefix="universe-test-"))
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    postgres.ensure_database(TEMPLATE)
    migrate(postgres.url(database=TEMPLATE))
    postgres.set_role_passwords()
    return TEMPLATE


@pytest.fixture
def database(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Database]:
    """A fresh migrated database."""
    with fresh_database(postgres, migrated_template) as database:
        yield database


@contextmanager
def fresh_database(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Database]:
    """Copy the migrated database, for a fixture of another scope; drop the copy afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(migrated_template)
            )
        )
        yield Database(
            name,
            postgres.url(database=name),
            postgres.url(WRITER, name),
            postgres.url(READER, name),
        )
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )
