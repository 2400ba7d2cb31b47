"""The connection pool of the functions, on a real server."""

from collections.abc import Callable

import psycopg
import pytest
from prometheus_client import CollectorRegistry, Gauge
from psycopg.conninfo import make_conninfo

from functions.common import postgres
from functions.common.postgres import PoolSettings, open_pool
from infra.local.servers.postgres import EmbeddedPostgres
from tests.conftest import Database
from tests.support.net import wait_until


def gauge() -> Gauge:
    return Gauge("pool", "Connections", ["state"], registry=CollectorRegistry())


def test_sessions_have_the_parameters(database: Database) -> None:
    url = make_conninfo(database.url, options="-c work_mem=5MB -c jit=on")
    session = {"default_transaction_isolation": "repeatable read", "jit": "off"}
    settings = PoolSettings(db_statement_timeout=7.5)
    with (
        open_pool(settings, url, name="test", session=session, gauge=gauge()) as pool,
        pool.connection() as connection,
    ):
        shown = {
            name: connection.execute(f"SHOW {name}".encode()).fetchall()[0][0]
            for name in (
                "statement_timeout",
                "timezone",
                "default_transaction_isolation",
                "jit",
                "work_mem",
                "application_name",
                "tcp_keepalives_idle",
            )
        }
    assert shown.pop("tcp_keepalives_idle")
    assert shown == {
        "statement_timeout": "7500ms",
        "timezone": "UTC",
        "default_transaction_isolation": "repeatable read",
        "jit": "off",
        "work_mem": "5MB",
        "application_name": "universe-test",
    }


def terminate(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = 'universe-test'"
        )


@pytest.mark.slow
def test_a_connection_that_the_server_closed_is_replaced(database: Database) -> None:
    settings = PoolSettings(db_pool_min=3, db_pool_max=3)
    with open_pool(settings, database.url, name="test", session={}, gauge=gauge()) as pool:
        pool.wait()
        for _ in range(2):
            terminate(database)
            for _ in range(4):
                with pool.connection() as connection:
                    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_what_is_wrong_is_told(postgres_server: EmbeddedPostgres) -> None:
    postgres_server.ensure_database()
    settings = PoolSettings(db_pool_max=1)
    url = postgres_server.url()
    with open_pool(settings, url, name="test", session={}, gauge=gauge()) as pool:
        assert postgres.fault(pool, "SELECT 1") is None
        assert "does not exist" in (postgres.fault(pool, "SELECT FROM nothing") or "")
        assert "timeout" in (postgres.fault(pool, "SELECT pg_sleep(60)") or "")
        assert postgres.fault(pool, "SELECT 1") is None
        postgres_server.kill()
        assert "No database connection" in (postgres.fault(pool, "SELECT 1") or "")
        postgres_server.start()
        assert wait_until(lambda: postgres.fault(pool, "SELECT 1") is None, 60)


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/nothing", "no=url"])
def test_a_database_that_cannot_be_reached_is_no_connection(url: str) -> None:
    settings = PoolSettings(db_connect_timeout=1)
    with open_pool(settings, url, name="test", session={}, gauge=gauge()) as pool:
        assert "No database connection" in (postgres.fault(pool, "SELECT 1") or "")


def test_threads_get_the_same_pool() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    get: Callable[[], object] = postgres.once_per_process(make)
    assert get() is get()
    assert len(made) == 1
