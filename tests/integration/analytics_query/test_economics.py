"""What campaigns cost and bring equals the oracle: events as sent, spend as imported."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics
from tests.support.stored_events import generated, store_around_sealing

EVENTS = generated(2000, seed=23, mix=Mix(days=12, users=200))
FACTS = oracle.facts(EVENTS)
ZONE = ZoneInfo("Europe/Berlin")
LAST = max(fact.at for fact in FACTS).astimezone(ZONE).date()
CAMPAIGNS = sorted({fact.campaignId for fact in FACTS if fact.campaignId})
SPEND: dict[tuple[date, str, str], Decimal] = {
    (LAST - timedelta(days=day), source, campaign): Decimal(f"{place + 1}.{day:02}") * (day % 5)
    for day in range(14)
    for place, campaign in enumerate(CAMPAIGNS[::2])
    for source in ("facebook", "tiktok")[: 1 + place % 2]
}
COUNTED = ("clicks", "purchases", "revenue", "costPerClick", "costPerPurchase", "returnOnSpend")
"""Figures of events, and quotients with them."""
QUESTIONS: list[dict[str, str]] = [
    {},
    {"from": str(LAST - timedelta(days=6)), "to": str(LAST)},
    {"from": f"{LAST - timedelta(days=6)}T10:00:00Z", "source": "facebook", "exact": "true"},
    {"to": str(LAST), "timezone": "America/New_York"},
    {"campaignId": CAMPAIGNS[0]},
    {"country": "DE"},
    {"from": "2020-01-01", "to": "2020-02-01"},
]


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    settings = {"TIMEZONE": "Europe/Berlin", "CURRENCY": "EUR", "ANALYTICS_WRITE_AUTH": "none"}
    with analytics(postgres, migrated_template, folder, **settings) as running:
        store_around_sealing(running.owner_url, EVENTS, 1500)
        entries = [
            {"date": str(day), "source": source, "campaignId": campaign, "amount": str(amount)}
            for (day, source, campaign), amount in SPEND.items()
        ]
        done = running.client.put("/analytics/spend", json=entries)
        assert done.json()["added"] == len(SPEND)
        yield running


def moment(text: str | None, zone: ZoneInfo) -> datetime | None:
    if text is None or "T" in text:
        return oracle.moment(text)
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def spent(question: dict[str, str]) -> dict[tuple[date, str, str], Decimal]:
    """Return the entries of the days that begin in the range."""
    zone = ZoneInfo(question.get("timezone", "Europe/Berlin"))
    start, end = moment(question.get("from"), zone), moment(question.get("to"), zone)
    return {
        key: amount
        for key, amount in SPEND.items()
        if "country" not in question
        and question.get("source", key[1]) == key[1]
        and question.get("campaignId", key[2]) == key[2]
        and (start is None or datetime(*key[0].timetuple()[:3], tzinfo=ZONE) >= start)
        and (end is None or datetime(*key[0].timetuple()[:3], tzinfo=ZONE) < end)
    }


def events_of(question: dict[str, str]) -> list[oracle.Fact]:
    zone = ZoneInfo(question.get("timezone", "Europe/Berlin"))
    ends = {name: moment(question.get(name), zone) for name in ("from", "to")}
    times = {name: at.isoformat() for name, at in ends.items() if at}
    return oracle.chosen(FACTS, {**question, **times})


def quotient(part: Decimal | None, whole: Decimal | int | None) -> str | None:
    if part is None or not whole:
        return None
    return str((part / whole).quantize(Decimal("0.0001"), ROUND_HALF_EVEN))


def figures(
    facts: list[oracle.Fact], spend: dict[tuple[date, str, str], Decimal]
) -> dict[str, Any]:
    amount = sum(spend.values(), Decimal()) if spend else None
    clicks = sum(fact.eventType.endswith(".click") for fact in facts)
    revenue = oracle.amount(facts)
    return {
        "spend": amount,
        "spendDays": len({day for day, _, _ in spend}),
        "clicks": clicks,
        "purchases": oracle.purchases(facts),
        "revenue": revenue,
        "costPerClick": quotient(amount, clicks),
        "costPerPurchase": quotient(amount, oracle.purchases(facts)),
        "returnOnSpend": quotient(None if amount is None else revenue, amount),
    }


def found(row: dict[str, Any]) -> dict[str, Any]:
    spend = row["spend"]
    return row | {
        "spend": None if spend is None else Decimal(spend),
        "revenue": row["revenue"] and Decimal(row["revenue"]),
    }


@pytest.mark.parametrize("by", ["campaign", "source"])
@pytest.mark.parametrize(
    "question",
    [
        pytest.param(question, id=str(question), marks=[pytest.mark.slow] if place > 2 else [])
        for place, question in enumerate(QUESTIONS)
    ],
)
def test_economics(live: Analytics, question: dict[str, str], by: str) -> None:
    answer = live.report("economics", **question, by=by)
    spend, facts = spent(question), events_of(question)

    def keys(source: str, campaign: str | None) -> tuple[str, str | None]:
        return source, campaign if by == "campaign" else None

    if by == "campaign":
        facts = [fact for fact in facts if fact.campaignId]
    of_facts = oracle.grouped(facts, lambda fact: keys(fact.source, fact.campaignId))
    of_spend: dict[Any, dict[Any, Decimal]] = {}
    for (day, source, campaign), amount in spend.items():
        of_spend.setdefault(keys(source, campaign), {})[day, source, campaign] = amount
    expected = {
        key: figures(of_facts.get(key, []), of_spend.get(key, {}))
        for key in of_facts.keys() | of_spend.keys()
    }
    # no event of TikTok names a campaign
    blind = {key for key in expected if by == "campaign" and key[0] == "tiktok"}
    for key in blind:
        expected[key] |= dict.fromkeys(COUNTED)
    rows = {(row["source"], row["campaignId"]): found(row) for row in answer["items"]}
    assert rows == {
        key: {"source": key[0], "campaignId": key[1], **row} for key, row in expected.items()
    }
    both = [key for key in of_spend if key not in blind]
    costed = figures(
        [fact for key in both for fact in of_facts.get(key, [])],
        {entry: amount for key in both for entry, amount in of_spend[key].items()},
    )
    total = figures(facts, spend) | {name: costed[name] for name in COUNTED[3:]}
    assert found(answer["total"]) == total
    without = [f for key in of_facts.keys() - of_spend.keys() for f in of_facts[key]]
    assert answer["withoutSpend"]["rows"] == len(of_facts.keys() - of_spend.keys())
    assert Decimal(answer["withoutSpend"]["revenue"]) == oracle.amount(without)
    blind_spend = [amount for key in blind for amount in of_spend[key].values()]
    assert answer["withoutEvents"]["rows"] == len(blind)
    assert Decimal(answer["withoutEvents"]["spend"]) == sum(blind_spend)
    assert answer["spendKnown"] is ("country" not in question)
    assert (answer["currency"], answer["spendTimezone"]) == ("EUR", "Europe/Berlin")
    order = [row["spend"] for row in answer["items"]]
    assert order == sorted(order, key=lambda amount: (amount is None, -Decimal(amount or 0)))


def test_days_of_spend_are_whole_days_of_the_workspace(live: Analytics) -> None:
    day = LAST - timedelta(days=3)
    midnight = datetime(*day.timetuple()[:3], tzinfo=ZONE)
    for start, first, whole in (
        (midnight, day, True),
        (midnight + timedelta(microseconds=1), day + timedelta(days=1), False),
        (midnight - timedelta(hours=1), day, False),
    ):
        answer = live.report("economics", **{"from": start.isoformat(), "limit": 1})
        assert (answer["spendFrom"], answer["wholeDays"]) == (str(first), whole)
        assert answer["omitted"] > 0
    entries = live.report("spend", **{"from": str(day), "source": "tiktok", "limit": 1})
    wanted = [key for key in SPEND if key[0] >= day and key[1] == "tiktok"]
    assert len(entries["items"]) + entries["omitted"] == len(wanted)
    assert Decimal(entries["total"]) == sum(SPEND[key] for key in wanted)
