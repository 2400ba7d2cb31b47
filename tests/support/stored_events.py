"""Generated events, stored in a test's database as the platform stores them."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from functions.common.contract import ENVELOPE_FIELDS
from functions.common.events import columns, validate_json
from infra.cli.generate import Mix, generate

UNTIL = datetime(2026, 11, 20, 15, 30, 12, tzinfo=UTC)
"""The time of the newest event that tests generate."""


def generated(count: int, seed: int = 1, mix: Mix | None = None) -> list[dict[str, Any]]:
    """Return new, valid events, the same ones for the same arguments."""
    return [item.event for item in generate(count, seed, mix, until=UNTIL) if item.kind == "new"]


def store(url: str, events: list[dict[str, Any]]) -> None:
    """Store events by plain SQL, without rollups."""
    with psycopg.connect(url) as connection:
        days = sorted({_moment(event).date() for event in events})
        connection.execute("SELECT ensure_partitions(%s)", [days])
        connection.commit()
        with connection.cursor().copy(
            "COPY events (event_id, day, occurred_at, received_at, source, funnel_stage,"
            " event_type, user_id, country, campaign_id, revenue, data, extra) FROM STDIN"
        ) as copy:
            for event in events:
                copy.write_row(_row(event))


def _moment(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"]).astimezone(UTC)


def _row(event: dict[str, Any]) -> tuple[Any, ...]:
    checked = validate_json(json.dumps(event))
    moment = _moment(event)
    extra = {name: value for name, value in event.items() if name not in ENVELOPE_FIELDS}
    return (
        event["eventId"],
        moment.date(),
        moment,
        moment,
        event["source"],
        event["funnelStage"],
        event["eventType"],
        *columns(checked),
        Jsonb(event["data"]),
        Jsonb(extra) if extra else None,
    )
