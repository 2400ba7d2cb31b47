"""The exporter's metrics are what the database and the broker hold."""

from collections import Counter
from pathlib import Path

import nats
import psycopg
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from functions.common.broker import BrokerSettings, ensure_streams
from infra.cli.load.event_generator import Mix
from infra.database.migrate import migrate
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import READER, EmbeddedPostgres
from infra.monitoring.exporter.database_metrics import STATEMENT_METRICS
from tests.conftest import Database
from tests.support.exporter import collected, exporter
from tests.support.net import plain_http, wait_until
from tests.support.storage import compact_all
from tests.support.stored_events import generated, store

NOWHERE = "nats://127.0.0.1:9"


def test_each_statement_answers_an_empty_database(database: Database) -> None:
    found = collected(database.reader_url)
    assert found.value("universe_database_up") == 1
    assert found.value("universe_database_failed_statements") == 0
    names = {name for name, _ in found}
    wanted = {spec.name for group in STATEMENT_METRICS.values() for spec in group.specs}
    assert wanted - names == {"universe_database_stored_events", "universe_database_stored_revenue"}


def test_stored_events_partitions_and_deltas(database: Database) -> None:
    events = generated(3000)
    store(database.writer_url, events)
    days = {event["timestamp"][:10] for event in events}
    stored = Counter((event["source"], event["funnelStage"]) for event in events)
    for pending in (True, False):
        found = collected(database.reader_url)
        assert (found.value("universe_database_pending_rollup_deltas") != 0) == pending
        assert found.value("universe_database_partitions") == len(days)
        assert found.value("universe_database_partitions_to_seal") == len(days)
        for (source, stage), count in stored.items():
            value = found.value("universe_database_stored_events", source=source, stage=stage)
            assert value == count
        compact_all(database)


def test_partitions_count_as_their_table(database: Database) -> None:
    store(database.writer_url, generated(5000, mix=Mix(days=1)))
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("ANALYZE events")

    def counted() -> bool:
        found = collected(database.reader_url)
        return found.value("universe_database_table_live_rows", table="events") == 5000

    wait_until(counted, 30)
    found = collected(database.reader_url)
    tables = {dict(each)["table"] for each in found.all("universe_database_table_live_rows")}
    assert not any(table.startswith("events_") for table in tables)
    assert (found.value("universe_database_table_bytes", table="events") or 0) > 500_000
    assert (found.value("universe_database_table_analyzes_total", table="events") or 0) > 0
    heap = found.value("universe_database_table_heap_bytes", table="events") or 0
    bloat = found.value("universe_database_table_bloat_bytes", table="events")
    assert bloat is not None
    assert bloat < 0.25 * heap


@pytest.mark.slow
def test_bloat_and_vacuum_state(database: Database) -> None:
    def state() -> tuple[float, float, float, float]:
        found = collected(database.reader_url)
        names = ("table_bloat_bytes", "table_heap_bytes", "table_dead_rows", "table_vacuums_total")
        values = [found.value(f"universe_database_{name}", table="day_users") for name in names]
        bloat, heap, dead, vacuums = (value or 0.0 for value in values)
        return bloat / max(heap, 1), heap, dead, vacuums

    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE day_users SET (autovacuum_enabled = off)")
        connection.execute(
            "INSERT INTO day_users SELECT '2024-01-01', 'facebook', 'user-' || n, 1, 1, 0, 0, 0,"
            " now(), now(), now(), null FROM generate_series(1, 30000) AS n"
        )
        connection.execute("ANALYZE day_users")
        wait_until(lambda: state()[1] > 1_000_000, 30)
        assert state()[0] < 0.15
        # every tenth stays, so that no page becomes empty
        connection.execute("DELETE FROM day_users WHERE right(user_id, 1) <> '0'")
        wait_until(lambda: state()[2] == 27_000, 30)
        connection.execute("VACUUM ANALYZE day_users")
    wait_until(lambda: state()[3] == 1, 30)
    share, _, dead, _ = state()
    assert dead == 0
    assert 0.8 < share < 0.95
    found = collected(database.reader_url)
    last = found.value("universe_database_table_last_vacuum_timestamp_seconds", table="day_users")
    assert (last or 0) > 1.7e9


def test_the_reader_sees_what_others_sessions_do(database: Database) -> None:
    with psycopg.connect(database.writer_url) as connection:
        connection.execute("SELECT 1")
        found = collected(database.reader_url)
    labels = {"role": "universe_writer", "state": "idle in transaction"}
    assert found.value("universe_database_connections", **labels) == 1
    assert (found.value("universe_database_longest_transaction_seconds", **labels) or 0) > 0
    labels = {"role": "universe_reader", "state": "active"}
    assert found.value("universe_database_connections", **labels) == 1


async def test_streams_consumers_and_dead_letters(nats_url: str, tmp_path: Path) -> None:
    nc = await nats.connect(nats_url)
    js = nc.jetstream()
    await ensure_streams(
        js, BrokerSettings(nats_url=nats_url, stream_max_bytes=1_000_000, dlq_max_bytes=500_000)
    )
    await js.add_stream(name="OTHERS", subjects=["others"])
    for number in range(5):
        await js.publish("events.facebook", b"[%d]" % number)
    for source in ("facebook", "facebook", "unknown"):
        await js.publish(f"dlq.EVENTS.events.{source}", b"{}")
    config = ConsumerConfig(
        durable_name="process-batch",
        ack_policy=AckPolicy.EXPLICIT,
        metadata={"universe.function": "process-batch.openfaas-fn"},
    )
    subscription = await js.pull_subscribe("events.>", durable="process-batch", config=config)
    first, *_ = await subscription.fetch(2)
    await first.ack_sync()
    with exporter(tmp_path / "log", NATS_URL=nats_url) as running:
        found = running.scrape()
    await nc.close()
    assert found.value("universe_jetstream_up") == 1
    events = {"stream": "EVENTS", "retention": "workqueue"}
    assert found.value("universe_stream_messages", **events) == 4
    assert found.value("universe_stream_stored_messages_total", **events) == 5
    assert found.value("universe_stream_max_bytes", **events) == 1_000_000
    dead = {"stream": "EVENTS_DLQ", "retention": "limits"}
    assert found.value("universe_stream_max_bytes", **dead) == 500_000
    assert found.value("universe_stream_max_bytes", stream="OTHERS", retention="limits") is None
    assert 0 < (found.value("universe_stream_bytes", **events) or 0) < 1000
    age = found.value("universe_stream_oldest_message_seconds", **events)
    assert 0 < (age or 0) < 600
    assert found.value("universe_dlq_messages", source="facebook") == 2
    assert found.value("universe_dlq_messages", source="unknown") == 1
    consumer = {
        "stream": "EVENTS",
        "consumer": "process-batch",
        "function": "process-batch.openfaas-fn",
    }
    assert found.value("universe_consumer_pending_messages", **consumer) == 3
    assert found.value("universe_consumer_unacknowledged_messages", **consumer) == 1
    # no database is configured, which is no reason not to answer
    assert found.value("universe_database_up") == 0


@pytest.mark.slow
def test_it_outlives_what_it_watches(
    postgres_server: EmbeddedPostgres, nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    postgres_server.ensure_database()
    migrate(postgres_server.url())
    postgres_server.set_role_passwords()
    environment = {
        "DATABASE_READER_URL": postgres_server.url(READER),
        "NATS_URL": nats_server.url,
    }
    with exporter(tmp_path / "log", **environment) as running:

        def up() -> tuple[float | None, float | None]:
            found = running.scrape()
            return found.value("universe_database_up"), found.value("universe_jetstream_up")

        assert up() == (1, 1)
        postgres_server.kill()
        assert up() == (0, 1)
        nats_server.kill()
        assert up() == (0, 0)
        assert plain_http.get(f"{running.url}/health/liveness").status_code == 200
        postgres_server.start()
        nats_server.start()
        wait_until(lambda: up() == (1, 1), 60, every=0.5)


def test_it_starts_before_what_it_watches(tmp_path: Path) -> None:
    environment = {"DATABASE_READER_URL": "postgresql://a@127.0.0.1:9/b", "NATS_URL": NOWHERE}
    with exporter(tmp_path / "log", **environment) as running:
        found = running.scrape()
        assert found.value("universe_database_up") == 0
        assert found.value("universe_jetstream_up") == 0
        running.process.terminate()
        assert running.process.wait(30) == 0
