"""Revenue by what was touched before equals the oracle over the events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics, beside
from tests.support.stored_events import generated, store_around_sealing

WINDOWS = {
    "30m": timedelta(minutes=30),
    "36h": timedelta(hours=36),
    "7d": timedelta(days=7),
    "366d": timedelta(days=366),
}
MODELS = ("first", "last", "linear")
MICROSECOND = timedelta(microseconds=1)


def moment_of(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["timestamp"]).astimezone(UTC)


def events() -> list[dict[str, Any]]:
    """Return events of users who are the same on both sources, some at the edges of a window."""
    made = generated(900, seed=41, mix=Mix(days=20, users=40))
    for event in made:
        user = event["data"]["user"]
        user["userId"] = f"user-{sum(user['userId'].encode()) % 40}"
    some = [event for event in made if event["source"] == "facebook"]
    bought = [event for event in some if event["data"]["engagement"].get("purchaseAmount")]
    clicks = iter([event for event in some if event["eventType"] == "ad.click"])
    for place, purchase in enumerate(bought[-8:]):
        at, edge = moment_of(purchase), list(WINDOWS.values())[place % 3]
        for moved in (edge, edge, edge + MICROSECOND, timedelta(0), timedelta(0), -MICROSECOND):
            click = next(clicks)
            click["timestamp"] = (at - moved).isoformat()
            click["data"]["user"]["userId"] = purchase["data"]["user"]["userId"]
    return made


EVENTS = events()
FACTS = oracle.facts(EVENTS)
LAST = max(fact.at for fact in FACTS)
QUESTIONS: list[dict[str, str]] = [
    {},
    {"from": (LAST - timedelta(days=6, hours=5)).isoformat(), "to": LAST.isoformat()},
    {"source": "facebook", "from": (LAST - timedelta(days=10)).isoformat()},
    {"country": "DE"},
    {"country": "US", "countryOf": "event", "exact": "true"},
    {"campaignId": "campaign-02", "timezone": "America/New_York"},
    {"source": "tiktok", "eventType": "purchase", "funnelStage": "bottom"},
    {"filter": "campaignId:isSet"},
    {"from": "2020-01-01", "to": "2020-02-01"},
    {"from": "0001-01-01T00:00:00Z"},
]


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with analytics(postgres, migrated_template, folder, CURRENCY="EUR") as running:
        store_around_sealing(running.owner_url, EVENTS, 600)
        yield running


def pair(figures: dict[str, Any]) -> tuple[Decimal, Decimal]:
    return Decimal(figures["purchases"]), Decimal(figures["revenue"])


def added(pairs: list[tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal]:
    return sum((one for one, _ in pairs), Decimal()), sum((two for _, two in pairs), Decimal())


def check(live: Analytics, question: dict[str, str], model: str, window: str, by: str) -> None:
    answer = live.report("attribution", **question, model=model, window=window, by=by, limit=1000)
    bought = oracle.chosen(FACTS, {k: v for k, v in question.items() if k != "filter"})
    if "filter" in question:
        bought = [fact for fact in bought if fact.campaignId]
    expected = oracle.attributed(FACTS, bought, model, WINDOWS[window], by)
    nothing = (Decimal(), Decimal())
    assert pair(answer["unattributed"]) == expected.pop(None, nothing)
    rows = {(row["source"], row["campaignId"]): pair(row) for row in answer["items"]}
    assert rows == expected
    assert len(rows) == len(answer["items"])
    assert pair(answer["total"]) == (oracle.purchases(bought), oracle.amount(bought))
    assert pair(answer["total"]) == added([*rows.values(), pair(answer["unattributed"])])
    assert answer["omitted"] == {"rows": 0, "purchases": "0", "revenue": "0"}
    order = [Decimal(row["revenue"]) for row in answer["items"]]
    assert order == sorted(order, reverse=True)
    named = (answer["model"], answer["window"], answer["by"], answer["currency"])
    assert named == (model, window, by, "EUR")


@pytest.mark.parametrize("by", ["campaign", "source"])
@pytest.mark.parametrize("model", MODELS)
def test_attribution(live: Analytics, model: str, by: str) -> None:
    for question, window in ((QUESTIONS[0], "36h"), (QUESTIONS[1], "7d")):
        check(live, question, model, window, by)


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_attribution_of_every_question(
    live: Analytics, question: dict[str, str], window: str
) -> None:
    for model in MODELS:
        for by in ("campaign", "source"):
            check(live, question, model, window, by)


def test_what_is_beyond_the_limit_is_added_up(live: Analytics) -> None:
    whole = live.report("attribution", model="linear", window="366d", limit=1000)
    assert {row["source"] for row in whole["items"]} == {"facebook"}
    assert any("." in row["purchases"] for row in whole["items"])
    assert Decimal(whole["unattributed"]["revenue"]) > 0
    few = live.report("attribution", model="linear", window="366d", limit=2)
    assert few["items"] == whole["items"][:2]
    assert few["omitted"]["rows"] == len(whole["items"]) - 2
    assert pair(few["omitted"]) == added([pair(row) for row in whole["items"][2:]])
    # an amount is the same moments later, whatever the days are
    zoned = live.report(
        "attribution", model="linear", window="366d", limit=2, timezone="Asia/Tokyo"
    )
    assert zoned == few


@pytest.mark.parametrize(
    "params",
    [{"model": "best"}, {"by": "country"}, {"window": "0d"}, {"window": "367d"}, {"limit": "0"}],
    ids=str,
)
def test_a_wrong_option_is_named(live: Analytics, params: dict[str, str]) -> None:
    answer = live.get("attribution", **params)
    assert answer.status_code == 422
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [*params]


@pytest.mark.slow
def test_more_events_than_may_be_read_are_refused(
    live: Analytics, tmp_path_factory: pytest.TempPathFactory
) -> None:
    start = LAST - timedelta(days=2)
    since = start - timedelta(hours=36)
    most = sum(since <= fact.at for fact in FACTS)
    tiktok = sum(since <= fact.at and fact.source == "tiktok" for fact in FACTS)
    folder = tmp_path_factory.mktemp("analytics")
    with beside(live, folder, ATTRIBUTION_MAX_EVENTS=str(most - 1)) as client:

        def ask(**params: str) -> httpx.Response:
            asked = {"from": start.isoformat(), "window": "36h", **params}
            return client.get("/analytics/attribution", params=asked)

        refused = ask()
        assert refused.status_code == 422
        [fault] = refused.json()["errors"]
        assert fault["parameter"] == "from"
        for part in (f"{most:,} events", f"{most - 1:,} may be", "shorter", "one source", "exact"):
            assert part in fault["message"]
        assert tiktok < most
        assert ask(source="tiktok").status_code == 200
        by_source = ask(source="tiktok", by="source")
        assert by_source.status_code == 422, "touches are of any source"
        assert "one source" not in by_source.json()["detail"]
        assert ask(window="1h").status_code == 200
        assert ask(exact="true").status_code == 200
