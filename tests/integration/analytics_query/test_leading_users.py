"""The lists of leading users: top users stay exact where the lists cannot tell who leads."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from infra.cli.load.event_generator import Mix
from infra.database.seal import seal_finished_days
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics
from tests.support.oracle import Fact
from tests.support.reports import assert_users_exact
from tests.support.stored_events import compact_deltas, generated, store

EVENTS = generated(2000, seed=3, mix=Mix(days=6, users=100))


@pytest.fixture
def live(postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path) -> Iterator[Analytics]:
    with analytics(postgres, migrated_template, tmp_path) as running:
        yield running


def seal(live: Analytics, events: list[dict[str, object]]) -> list[Fact]:
    """Store and seal all but the last fifth; return the facts."""
    sealed = len(events) * 4 // 5
    store(live.owner_url, events[:sealed])
    compact_deltas(live.owner_url)
    seal_finished_days(live.owner_url, timedelta(0))
    store(live.owner_url, events[sealed:])
    return oracle.facts(events)


def test_users_who_share_a_hash(live: Analytics) -> None:
    with psycopg.connect(live.owner_url) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION user_hash(user_id text) RETURNS bigint"
            " LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN length(user_id)"
        )
    assert_users_exact(live, seal(live, EVENTS))


def test_customers_who_are_all_alike(live: Analytics) -> None:
    for event in EVENTS:
        if event["data"]["engagement"].get("purchaseAmount") is not None:
            event["data"]["engagement"]["purchaseAmount"] = "9.99"
    assert_users_exact(live, seal(live, EVENTS))


def test_late_events_make_a_user_lead(live: Analytics) -> None:
    facts = seal(live, EVENTS)
    purchase = max(
        (event for event in EVENTS[:1000] if event["eventType"] == "checkout.complete"),
        key=lambda event: event["timestamp"],
    )
    late = [
        purchase
        | {
            "eventId": f"late-{number}",
            "data": {
                "user": purchase["data"]["user"] | {"userId": "late"},
                "engagement": purchase["data"]["engagement"] | {"purchaseAmount": "99999.01"},
            },
        }
        for number in range(50)
    ]
    store(live.owner_url, late)
    expected = facts + oracle.facts(late)
    assert_users_exact(live, expected)
    compact_deltas(live.owner_url)
    assert_users_exact(live, expected)
    assert live.report("users", by="revenue", limit=1)["items"][0]["userId"] == "late"
