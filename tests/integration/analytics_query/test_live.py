"""What happens now: the report of the last minutes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics
from tests.support.net import wait_until
from tests.support.stored_events import generated, store

EVENTS = generated(
    900, seed=31, mix=Mix(days=90 / 1440, users=60, shuffled=30), until=datetime.now(UTC)
)
FACTS = oracle.facts(EVENTS)


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    sampled = {"EXACT_USERS_MAX_EVENTS": "500"}
    with analytics(postgres, migrated_template, folder, **sampled) as running:
        store(running.owner_url, EVENTS)
        yield running


@pytest.mark.parametrize(
    "question",
    [
        {"minutes": "60", "source": "tiktok"},
        {"minutes": "47", "country": "DE"},
        {"minutes": "60", "campaignId": "campaign-01", "funnelStage": "bottom"},
        {"minutes": "60", "eventType": "nothing"},
    ],
)
def test_the_last_minutes_are_those_of_the_events(
    live: Analytics, question: dict[str, Any]
) -> None:
    answer = live.report("live", **question)
    start, end = (datetime.fromisoformat(answer[name]) for name in ("from", "to"))
    assert end - start == timedelta(minutes=int(question["minutes"]))
    assert abs(end - datetime.now(UTC)) < timedelta(minutes=5)
    filters = {name: value for name, value in question.items() if name != "minutes"}
    bounds = {"from": answer["from"], "to": answer["to"], "countryOf": "event"}
    some = oracle.chosen(FACTS, filters | bounds)
    assert some or "nothing" in question.values()
    totals = answer["totals"]
    assert (totals["events"], totals["users"]) == (len(some), oracle.users(some))
    assert totals["usersAccuracy"]["exact"]
    assert (totals["purchases"], Decimal(totals["revenue"])) == (
        oracle.purchases(some),
        oracle.amount(some),
    )
    assert totals["lastEvent"] == (oracle.utc(max(f.at for f in some)) if some else None)
    by_source = oracle.grouped(some, lambda fact: fact.source)
    assert {
        one["source"]: (one["events"], Decimal(one["revenue"])) for one in answer["bySource"]
    } == {source: (len(of), oracle.amount(of)) for source, of in by_source.items()}
    by_minute = oracle.grouped(some, lambda fact: (fact.at - start) // timedelta(minutes=1))
    assert [datetime.fromisoformat(one["time"]) for one in answer["byMinute"]] == [
        start + timedelta(minutes=place) for place in range(int(question["minutes"]))
    ]
    for place, one in enumerate(answer["byMinute"]):
        of = by_minute.get(place, [])
        assert (one["events"], Decimal(one["revenue"])) == (len(of), oracle.amount(of))


def test_people_of_very_many_events_are_estimated(live: Analytics) -> None:
    answer = live.report("live", minutes=60)
    assert answer["totals"]["events"] > 500
    accuracy = answer["totals"]["usersAccuracy"]
    assert not accuracy["exact"]
    assert accuracy["lower"] <= answer["totals"]["users"] <= accuracy["upper"]


@pytest.mark.parametrize(
    "wrong", [{"minutes": "61"}, {"minutes": "0"}, {"from": "2026-01-01"}, {"source": "myspace"}]
)
def test_a_wrong_parameter_is_named(live: Analytics, wrong: dict[str, str]) -> None:
    refused = live.get("live", **wrong)
    assert refused.status_code == 422
    assert [fault["parameter"] for fault in refused.json()["errors"]] == list(wrong)


def test_time_passes_though_nothing_comes(live: Analytics) -> None:
    """Nothing is committed, and the answer changes all the same: the clock goes on."""
    first = live.report("live")["to"]
    wait_until(lambda: live.report("live")["to"] > first, 30)
