"""Writing to a test's database as process-batch does, and holding rollups against raw events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from struct import unpack
from typing import Any, LiteralString

import httpx
import orjson
import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool

from functions.common.events import demographics, validate_json
from functions.process_batch.body import EventMessage, read_messages
from functions.process_batch.compaction import compact
from functions.process_batch.rows import EventRow
from functions.process_batch.validation import ValidationSummary, validated_rows
from functions.process_batch.writer import Writer
from tests.conftest import Database
from tests.support.functions import Function, running
from tests.support.net import plain_http
from tests.support.secrets import signed

Event = dict[str, Any]


@contextmanager
def pool_of(database: Database, size: int = 4) -> Iterator[ConnectionPool[Connection]]:
    """Open a pool of connections as the functions' writer role."""
    pool: ConnectionPool[Connection] = ConnectionPool(
        database.writer_url,
        min_size=1,
        max_size=size,
        kwargs={"autocommit": True, "options": "-c timezone=UTC"},
        open=True,
    )
    with pool:
        yield pool


@contextmanager
def writer_to(database: Database, size: int = 4) -> Iterator[Writer]:
    """Make a writer to the database."""
    with pool_of(database, size) as pool:
        yield Writer(pool)


def messages(events: list[Event]) -> list[EventMessage]:
    """Return the events as the messages of one request."""
    return read_messages(orjson.dumps(events), {}, 2**30)


def parts(events: list[Event], size: int = 7) -> list[list[EventRow]]:
    """Return the rows of valid events, a few at a time."""
    validation = ValidationSummary()
    rows = list(chain.from_iterable(validated_rows(messages(events), validation)))
    assert not validation.invalid, validation.invalid
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def compact_all(database: Database) -> int:
    """Compact every delta; return how many there were."""
    compacted = 0
    with psycopg.connect(database.writer_url, autocommit=True) as connection:
        while (step := compact(connection)) and step.deltas:
            compacted += step.deltas
    return compacted


def ask(database: Database, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    """Return what the database answers to its owner."""
    with psycopg.connect(database.url, options="-c timezone=UTC") as connection:
        return connection.execute(query, values or None).fetchall()


_SUMS = "sum(events)::bigint, sum(purchases)::bigint, sum(revenue), min(first_at), max(last_at)"
_RAW_SUMS = (
    "count(*), count(revenue), coalesce(sum(revenue), 0), min(occurred_at), max(occurred_at)"
)
_DIMENSIONS = {
    "types": "source, funnel_stage, event_type",
    "countries": "source, funnel_stage, event_type, country",
    "campaigns": "source, funnel_stage, event_type, campaign_id",
    "campaign_countries": "source, funnel_stage, event_type, campaign_id, country",
}
_TIME = {"hour": "date_trunc('hour', occurred_at, 'UTC')", "day": "day"}


def assert_rollups_exact(database: Database) -> None:
    """Compare every rollup, as reports read it, with the same sums over the events."""
    with psycopg.connect(database.url, options="-c timezone=UTC") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for grain, time in _TIME.items():
            for rollup, dimensions in _DIMENSIONS.items():
                live = _rows(
                    connection,
                    f"SELECT {grain}, {dimensions}, {_SUMS} FROM live_{grain}_{rollup} "
                    f"GROUP BY {grain}, {dimensions}",
                )
                condition = "WHERE campaign_id IS NOT NULL" if "campaign" in rollup else ""
                raw = _rows(
                    connection,
                    f"SELECT {time}, {dimensions}, {_RAW_SUMS} FROM events {condition} "
                    f"GROUP BY {time}, {dimensions}",
                )
                assert live == raw, f"{grain} {rollup}"
            _assert_demographics_exact(connection, grain)
        _assert_day_users_exact(connection)
        _assert_leading_users_exact(connection)


def _assert_demographics_exact(connection: Connection, grain: str) -> None:
    by_country: dict[tuple[Any, ...], list[Any]] = {}
    by_campaign: dict[tuple[Any, ...], list[Any]] = {}
    for time, event, country, campaign, revenue in connection.execute(
        f"SELECT {_TIME[grain]}, jsonb_build_object('eventId', event_id, 'timestamp', occurred_at, "
        "'source', source, 'funnelStage', funnel_stage, 'eventType', event_type, 'data', data), "
        "country, campaign_id, revenue FROM events".encode()
    ):
        dimensions = (event["source"], event["funnelStage"], event["eventType"])
        for group in demographics(validate_json(orjson.dumps(event))):
            _count(by_country, (time, *dimensions, country, *group), revenue)
            if campaign is not None:
                _count(by_campaign, (time, *dimensions, campaign, *group), revenue)
    for rollup, key, expected in (
        ("demographics", "country", by_country),
        ("campaign_demographics", "campaign_id", by_campaign),
    ):
        dimensions = f"source, funnel_stage, event_type, {key}, dimension, value"
        live = _rows(
            connection,
            f"SELECT {grain}, {dimensions}, sum(events)::bigint, sum(revenue) "
            f"FROM live_{grain}_{rollup} GROUP BY {grain}, {dimensions}",
        )
        assert live == {(*key, *sums) for key, sums in expected.items()}, f"{grain} {rollup}"
    if grain == "day":
        _assert_days_of_groups_exact(connection, by_country)


def _assert_days_of_groups_exact(
    connection: Connection, by_country: dict[tuple[Any, ...], list[Any]]
) -> None:
    of_types: dict[tuple[Any, ...], list[Any]] = {}
    of_all: dict[tuple[Any, ...], list[Any]] = {}
    for (day, source, stage, kind, _, *group), (events, revenue) in by_country.items():
        for sums, key in (
            (of_types, (day, source, stage, kind, *group)),
            (of_all, (day, source, *group)),
        ):
            total = sums.setdefault(key, [0, 0])
            total[0] += events
            total[1] += revenue
    for rollup, keys, expected in (
        ("groups", "source, funnel_stage, event_type, dimension, value", of_types),
        ("group_totals", "source, dimension, value", of_all),
    ):
        live = _rows(
            connection,
            f"SELECT day, {keys}, sum(events)::bigint, sum(revenue) "
            f"FROM live_day_{rollup} GROUP BY day, {keys}",
        )
        assert live == {(*key, *sums) for key, sums in expected.items()}, rollup


def _count(sums: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], revenue: Any) -> None:
    counted = sums.setdefault(key, [0, 0])
    counted[0] += 1
    counted[1] += revenue or 0


def _assert_day_users_exact(connection: Connection) -> None:
    # on sealed days, but for users of late events that are not compacted yet: reports read these
    # users' events
    exact = (
        "d.sealed_at IS NOT NULL AND (d.day, u.user_id) NOT IN"
        " (SELECT p.day, p.user_id FROM live_pending_users AS p)"
    )
    live = _rows(
        connection,
        f"SELECT u.* FROM day_users AS u JOIN event_days AS d USING (day) WHERE {exact}",
    )
    raw = _rows(
        connection,
        "SELECT d.day, u.* FROM event_days AS d, LATERAL ("
        "SELECT source, user_id, count(*), count(*) FILTER (WHERE funnel_stage = 'top'),"
        " count(*) FILTER (WHERE funnel_stage = 'bottom'), count(revenue),"
        " coalesce(sum(revenue), 0), min(occurred_at), max(occurred_at),"
        " min(occurred_at) FILTER (WHERE funnel_stage = 'top'),"
        " max(occurred_at) FILTER (WHERE funnel_stage = 'bottom')"
        " FROM events AS e WHERE e.day = d.day GROUP BY source, user_id) AS u"
        f" WHERE {exact}",
    )
    assert live == raw


def _assert_leading_users_exact(connection: Connection) -> None:
    listed: set[tuple[Any, ...]] = set()
    for day, measure, source, hashes, amounts, user_ids in connection.execute(
        "SELECT * FROM leading_users"
    ):
        number = len(user_ids)
        figures = zip(
            unpack(f">{number}q", hashes), unpack(f">{number}d", amounts), user_ids, strict=True
        )
        listed |= {(day, measure, source, *figure) for figure in figures}
    expected = _rows(
        connection,
        "SELECT day, 'events', source, user_hash(user_id), events::float8, user_id"
        " FROM day_users WHERE events >= 3 UNION ALL"
        " SELECT day, 'revenue', source, user_hash(user_id), revenue::float8, user_id"
        " FROM day_users WHERE purchases > 0",
    )
    assert listed == expected


def _rows(connection: Connection, query: str) -> set[tuple[Any, ...]]:
    return set(connection.execute(query.encode()).fetchall())


@contextmanager
def process_batch(url: str, log: Path, **environment: str) -> Iterator[Function]:
    """Run the function process-batch against a database.

    Args:
        url: the database, as the writer.
        log: a file for what the function writes.
        environment: further settings.
    """
    with running(
        "functions.process_batch.handler",
        log,
        **{
            "DATABASE_URL": url,
            "COMPACTION_INTERVAL": "0.1",
            "MAX_EVENT_AGE_DAYS": "0",  # most tests' events are of 2024
            **environment,
        },
    ) as function:
        yield function


def post(function: Function, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    """Post bytes as they are, anything else as JSON, signed as by the connector."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {**signed(body), **(headers or {})}
    return plain_http.post(function.url, content=body, headers=headers, timeout=60)


def cloud_event(number: int, data: Any, **more: Any) -> dict[str, Any]:
    """Return a message as the connector sends it."""
    return {
        "specversion": "1.0",
        "id": f"EVENTS:{number}",
        "source": "/jetstream/EVENTS/process-batch",
        "type": "universe.jetstream.message",
        "subject": "events.facebook",
        "datacontenttype": "application/json",
        "data": data,
        **more,
    }


BATCH = {"Content-Type": "application/cloudevents-batch+json"}
