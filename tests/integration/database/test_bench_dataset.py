"""The bulk path of the analytics benchmark ends in what process-batch and sealing write."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.servers.postgres import EmbeddedPostgres
from tests.bench.analytics.dataset import Size, make
from tests.conftest import Database, fresh_database
from tests.support.sketches import unite_hll, unite_theta
from tests.support.storage import Event, ask, assert_rollups_exact, compact_all
from tests.support.stored_events import store

SIZE = Size(events=6000, days=5, users=400, different_days=3)


def events_in(database: Database) -> list[Event]:
    rows = ask(
        database,
        'SELECT event_id, to_char(occurred_at, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\'),'
        " source, funnel_stage, event_type, data FROM events ORDER BY occurred_at",
    )
    fields = ("eventId", "timestamp", "source", "funnelStage", "eventType", "data")
    return [dict(zip(fields, row, strict=True)) for row in rows]


@pytest.mark.slow
def test_bulk_path_writes_what_process_batch_writes(
    database: Database, postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    made = make(database.url, tmp_path, SIZE)
    assert_rollups_exact(database)
    with fresh_database(postgres, migrated_template) as other:
        assert store(other.writer_url, events_in(database)).inserted == made.events
        compact_all(other)
        for day in made.days[:-1]:
            ask(other, "SELECT seal_day(%s)", day)
        rollups = ask(database, "SELECT name FROM rollups WHERE kind <> 'sketches'")
        for table in ("event_days", "events", *(name for (name,) in rollups), "leading_users"):
            assert contents(database, table) == contents(other, table), table
        for grain in ("hour", "day"):
            for table in (f"rollup_{grain}_users", f"rollup_{grain}_country_users"):
                assert users(database, table) == users(other, table), table


COLUMNS = {
    "events": "event_id, day, occurred_at, source, funnel_stage, event_type, user_id, country, "
    "campaign_id, revenue, data::text, extra::text",
    "event_days": "day, sealed_at IS NOT NULL",
    "leading_users": "day, measure, source, hashes, amounts, user_ids::text",
}
"""What is compared; of other tables all columns."""


def contents(database: Database, table: str) -> set[tuple[Any, ...]]:
    with psycopg.connect(database.url, options="-c timezone=UTC") as connection:
        statement = f"SELECT {COLUMNS.get(table, '*')} FROM {table}"
        return set(connection.execute(statement.encode()).fetchall())


def users(database: Database, table: str) -> dict[tuple[Any, ...], tuple[float, float | None]]:
    """Return what the sketches tell by their keys. So few users are counted, not estimated."""
    found: dict[tuple[Any, ...], tuple[float, float | None]] = {}
    with psycopg.connect(database.url, options="-c timezone=UTC") as connection:
        for row in connection.execute(f"SELECT * FROM {table}".encode()):
            keys = tuple(value for value in row if not isinstance(value, bytes | None))
            hll, *theta = (value for value in row if isinstance(value, bytes))
            found[keys] = (
                round(unite_hll([hll], [])),
                unite_theta(theta, []).get_estimate() if theta else None,
            )
    return found
