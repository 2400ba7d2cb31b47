"""Generated events, stored in a test's database as process-batch stores them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from functions.process_batch.body import read_messages
from functions.process_batch.compaction import compact
from functions.process_batch.validation import ValidationSummary, validated_rows
from functions.process_batch.writer import Writer, WriteResult
from infra.cli.load.event_generator import Mix, generate
from infra.database.seal import seal_finished_days

UNTIL = datetime(2024, 6, 20, 15, 30, 12, tzinfo=UTC)
"""The time of the newest event that tests generate."""


def generated(
    count: int, seed: int = 1, mix: Mix | None = None, until: datetime = UNTIL
) -> list[dict[str, Any]]:
    """Return new, valid events, the same ones for the same arguments."""
    return [item.event for item in generate(count, seed, mix, until) if item.kind == "new"]


def store(url: str, events: list[dict[str, Any]], batch: int = 1000) -> WriteResult:
    """Store events in batches; their rollup deltas are not compacted."""
    stored = WriteResult()
    pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
        url, min_size=1, max_size=1, kwargs={"autocommit": True}, open=False
    )
    with pool:
        writer = Writer(pool)
        for start in range(0, len(events), batch):
            body = json.dumps(events[start : start + batch]).encode()
            messages = read_messages(body, {"content-type": "application/json"}, len(body))
            validation = ValidationSummary()
            stored.add(writer.store(validated_rows(messages, validation)))
            assert not validation.invalid, validation.invalid[0]
    return stored


def compact_deltas(url: str, max_deltas: int = 100_000) -> None:
    """Compact up to `max_deltas` rollup deltas into the rollup tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        compact(connection, max_deltas)


def store_around_sealing(url: str, events: list[dict[str, Any]], sealed: int) -> None:
    """Store events so that reports meet all that they read: sealed days, late events, deltas.

    Args:
        url: of the database, as its owner.
        events: what is stored.
        sealed: so many of them come before their days are sealed.
    """
    store(url, events[:sealed])
    compact_deltas(url)
    seal_finished_days(url, timedelta(0))
    store(url, events[sealed:])
