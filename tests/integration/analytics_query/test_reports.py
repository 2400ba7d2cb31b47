"""Every report equals the oracle: the same figures computed from the events that were sent.

The database is in the state that the platform is in while events come: some days are sealed, some
events are in rollups, some only in deltas, some came late into sealed days, some came twice.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from infra.cli.load.event_generator import Mix
from infra.database.seal import seal_finished_days
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import kinds, oracle
from tests.support.analytics import Analytics, analytics, beside
from tests.support.oracle import Fact, chosen
from tests.support.stored_events import UNTIL, compact_deltas, generated, store

EVENTS = generated(4000, seed=7, mix=Mix(days=9, users=500, shuffled=7200))
LATE = generated(300, seed=8, mix=Mix(days=9, users=600))
# a checkout may come without an amount: it is not a purchase
CHECKOUTS = [event for event in EVENTS if event["eventType"] == "checkout.complete"]
for checkout in CHECKOUTS[::30]:
    checkout["data"]["engagement"]["purchaseAmount"] = None
FACTS = oracle.facts(EVENTS + LATE)

RANGES: list[dict[str, str]] = [
    {},
    {"from": "2024-06-13T00:00:00Z", "to": "2024-06-18T00:00:00Z"},
    {"from": "2024-06-12T22:17:03.5Z", "to": "2024-06-20T03:00:00.000001Z"},
    {"from": "2024-06-15T05:00:00+05:30"},
    {"to": "2024-06-16T13:45:00Z"},
    {"from": "2024-06-14T10:10:00Z", "to": "2024-06-14T10:50:00Z"},
    {"from": "2024-06-14T23:40:00Z", "to": "2024-06-15T00:20:00Z"},
    {"from": "2024-06-16", "to": "2024-06-17"},
]
NOTHING = [
    {"from": "2024-06-14T10:10:00Z", "to": "2024-06-14T10:10:00Z"},
    {"from": "2020-01-01", "to": "2020-02-01"},
    {"from": "2024-12-24"},
]
FILTERS: list[dict[str, str]] = [
    {},
    {"source": "facebook"},
    {"funnelStage": "bottom"},
    {"eventType": "video.view"},
    {"country": "DE"},
    {"country": "DE", "countryOf": "event"},
    {"country": "US", "source": "tiktok"},
    {"campaignId": "campaign-02"},
    {"campaignId": "campaign-01", "country": "US"},
    {"source": "tiktok", "funnelStage": "bottom", "eventType": "purchase"},
    {"source": "tiktok", "campaignId": "campaign-01"},
    {"country": "Atlantis"},
]


def combined(steps: set[int]) -> list[dict[str, str]]:
    """Return combinations: each range meets some of the filters, each filter some of the ranges."""
    pairs = itertools.product(enumerate(RANGES), enumerate(FILTERS))
    return [range_ | filter_ for (i, range_), (j, filter_) in pairs if (i + j) % 6 in steps]


def asked(question: dict[str, str], *marks: pytest.MarkDecorator) -> Any:
    name = " ".join(f"{name}={value}" for name, value in question.items()) or "all"
    return pytest.param(question, id=name, marks=marks)


QUICK = combined({0}) + NOTHING
LONG = combined({2, 4})
each_question = pytest.mark.parametrize(
    "question", [*map(asked, QUICK), *(asked(question, pytest.mark.slow) for question in LONG)]
)


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder: Path = tmp_path_factory.mktemp("analytics")
    with analytics(postgres, migrated_template, folder) as running:
        url = running.owner_url
        store(url, EVENTS[:3000])
        compact_deltas(url)
        # days before the last third of the events are over: the fixed newest event is in the past
        seal_finished_days(url, timedelta(0))
        store(url, EVENTS[2900:])  # a hundred of them again
        compact_deltas(url, max_deltas=500)
        store(url, LATE)
        yield running


def money(text: str) -> Decimal:
    assert isinstance(text, str)
    return Decimal(text)


def within(figure: int, accuracy: dict[str, Any], true: int) -> bool:
    """Tell whether an estimate and its bounds fit a true figure."""
    assert accuracy["lower"] <= figure <= accuracy["upper"]
    if accuracy["exact"]:
        return figure == true
    # a bound holds with 95 per cent confidence: two of them nearly always, and so must this test
    slack = max(2 * (accuracy["upper"] - accuracy["lower"]), 3)
    return accuracy["lower"] - slack <= true <= accuracy["upper"] + slack


def check_bounds(answer: dict[str, Any], question: dict[str, str]) -> None:
    for name in ("from", "to"):
        asked = oracle.moment(question.get(name))
        assert answer[name] == (asked and oracle.utc(asked))


@each_question
@pytest.mark.parametrize("exact", [False, True])
def test_overview(live: Analytics, question: dict[str, str], exact: bool) -> None:
    answer = live.report("overview", **question, exact=exact)
    some = chosen(FACTS, question)
    check_bounds(answer, question)
    totals = answer["totals"]
    assert totals["events"] == len(some)
    assert money(totals["revenue"]) == oracle.amount(some)
    assert totals["purchases"] == oracle.purchases(some)
    assert totals["firstEvent"] == (oracle.utc(min(f.at for f in some)) if some else None)
    assert totals["lastEvent"] == (oracle.utc(max(f.at for f in some)) if some else None)
    accuracy = totals["uniqueUsersAccuracy"]
    assert accuracy["exact"] or not exact
    assert within(totals["uniqueUsers"], accuracy, oracle.users(some))
    check_conversion(totals, some, exact)
    assert {
        item["source"]: (item["events"], money(item["revenue"])) for item in answer["bySource"]
    } == {
        source: (len(of), oracle.amount(of))
        for source, of in oracle.grouped(some, lambda fact: fact.source).items()
    }
    assert {item["funnelStage"]: item["events"] for item in answer["byFunnelStage"]} == {
        stage: len(of) for stage, of in oracle.grouped(some, lambda f: f.funnelStage).items()
    }
    assert {
        (item["source"], item["funnelStage"], item["eventType"]): (
            item["events"],
            money(item["revenue"]),
        )
        for item in answer["byEventType"]
    } == {
        kind: (len(of), oracle.amount(of))
        for kind, of in oracle.grouped(
            some, lambda f: (f.source, f.funnelStage, f.eventType)
        ).items()
    }


def check_conversion(totals: dict[str, Any], some: list[Fact], exact: bool) -> None:
    """Conversion is people who bought of people seen, and nothing else has the name."""
    bought, seen = oracle.buyers(some), oracle.users(some)
    assert totals["buyersAccuracy"]["exact"] or not exact
    assert within(totals["buyers"], totals["buyersAccuracy"], bought)
    rate, accuracy = totals["conversionRate"], totals["conversionRateAccuracy"]
    if not seen:
        assert rate is accuracy is None
    elif accuracy["exact"]:
        assert rate == round(bought / seen, 6)
    else:
        assert accuracy["lower"] <= rate <= accuracy["upper"]
        slack = max(2 * (accuracy["upper"] - accuracy["lower"]), 0.01)
        assert accuracy["lower"] - slack <= bought / seen <= accuracy["upper"] + slack


PARTS = {"bySource": "source", "byCampaign": "campaignId", "byCountry": "country"}
SPLITS = ["none", "source", "funnelStage", "eventType", "country", "campaignId"]


def key_of(fact: Fact, split: str) -> str | None:
    return "all" if split == "none" else getattr(fact, split)


@each_question
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("interval", ["hour", "day"])
def test_timeseries(live: Analytics, question: dict[str, str], split: str, interval: str) -> None:
    answer = live.report("timeseries", **question, split=split, interval=interval, limit=100)
    check_timeseries(answer, question, split, interval)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("exact", [False, True])
def test_timeseries_by_the_minute(live: Analytics, split: str, exact: bool) -> None:
    question = {"from": "2024-06-17T21:58:30Z", "to": "2024-06-18T02:03:00Z"}
    answer = live.report("timeseries", **question, split=split, exact=exact)
    check_timeseries(answer, question, split, "minute")


def check_timeseries(
    answer: dict[str, Any], question: dict[str, str], split: str, interval: str
) -> None:
    some = chosen(FACTS, question)
    if split == "campaignId":
        some = [fact for fact in some if fact.campaignId is not None]
    assert (answer["interval"], answer["split"], answer["omittedSeries"]) == (interval, split, 0)
    expected = oracle.grouped(some, lambda f: key_of(f, split))
    if split == "none":
        expected.setdefault("all", [])
    assert {series["key"] for series in answer["series"]} == set(expected)
    start = oracle.moment(question.get("from")) or min((f.at for f in some), default=None)
    end = oracle.moment(question.get("to")) or max((f.at for f in some), default=None)
    for series in answer["series"]:
        points = series["points"]
        by_time = oracle.grouped(
            expected[series["key"]], lambda f: oracle.utc(oracle.start_of(f.at, interval))
        )
        assert {p["time"]: (p["events"], money(p["revenue"])) for p in points if p["events"]} == {
            at: (len(of), oracle.amount(of)) for at, of in by_time.items()
        }
        times = [point["time"] for point in points]
        if (
            start is None
            or end is None
            or start > end
            or question.get("from") == question.get("to", 0)
        ):
            assert times == []
            continue
        last = end - timedelta(microseconds=1) if "to" in question else end
        assert times[0] == oracle.utc(oracle.start_of(start, interval))
        assert times[-1] == oracle.utc(oracle.start_of(last, interval))
        step = timedelta(seconds=oracle.LENGTH[interval])
        moments = [oracle.moment(at) for at in times]
        assert all(
            b is not None and a is not None and b - a == step
            for a, b in itertools.pairwise(moments)
        )


@pytest.mark.parametrize("zone", kinds.quick_first(["Europe/Berlin", "Asia/Kolkata"]))
def test_days_of_a_time_zone(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path, zone: str
) -> None:
    """Each event is in the day of its local date, over both changes of the clocks."""
    changes = [datetime(2024, 4, 1, 12, tzinfo=UTC), datetime(2024, 10, 28, 12, tzinfo=UTC)]
    events = [
        event
        for seed, until in enumerate(changes)
        for event in generated(300, seed=seed, mix=Mix(days=3, users=50), until=until)
    ]
    facts = oracle.facts(events)
    local = ZoneInfo(zone)
    with analytics(postgres, migrated_template, tmp_path) as live:
        store(live.owner_url, events)
        compact_deltas(live.owner_url)
        for until in changes:
            question = {
                "from": oracle.utc(until - timedelta(days=5)),
                "to": oracle.utc(until + timedelta(days=2)),
            }
            some = oracle.grouped(chosen(facts, question), lambda f: f.at.astimezone(local).date())
            for report, name in (("timeseries", "series"), ("revenue", "points")):
                answer = live.report(report, **question, interval="day", timezone=zone)
                assert answer["timezone"] == zone
                points = answer[name][0]["points"] if name == "series" else answer[name]
                times = [datetime.fromisoformat(p["time"]).astimezone(local) for p in points]
                assert {(at.hour, at.minute) for at in times} == {(0, 0)}
                assert len({at.date() for at in times}) == len(times) == 8
                revenues = {
                    at.date(): money(p["revenue"]) for at, p in zip(times, points, strict=True)
                }
                assert revenues == {
                    at.date(): oracle.amount(some.get(at.date(), [])) for at in times
                }
            check_dates(live, facts, until, zone)
        refused = live.get("overview", timezone="Mars/Olympus")
        assert refused.status_code == 422
        assert [fault["parameter"] for fault in refused.json()["errors"]] == ["timezone"]


def check_dates(live: Analytics, facts: list[Fact], until: datetime, zone: str) -> None:
    """Dates are days of the time zone in every report, the day of 23 or 25 hours among them."""
    local = ZoneInfo(zone)
    changed = until.date() - timedelta(days=1)
    some = [fact for fact in facts if fact.at.astimezone(local).date() == changed]
    assert some
    question = {"from": str(changed), "to": str(changed + timedelta(days=1)), "timezone": zone}
    overview = live.report("overview", **question)
    for name in ("from", "to"):
        midnight = datetime.fromisoformat(question[name]).replace(tzinfo=local)
        assert overview[name] == oracle.utc(midnight)
    assert overview["totals"]["events"] == len(some)
    assert money(overview["totals"]["revenue"]) == oracle.amount(some)
    assert len(live.report("events", **question, limit=1000)["items"]) == len(some)
    users = live.report("users", **question, limit=1000)["items"]
    assert sum(user["events"] for user in users) == len(some)
    check_stages(live.report("funnel", **question), some)
    countries = live.report("countries", **question)
    counted = sum(item["events"] for item in (*countries["items"], countries["unknown"]))
    assert counted == len(some)
    assert live.report("revenue", **question)["purchases"] == oracle.purchases(some)


def check_stages(answer: dict[str, Any], some: list[Fact], unknown: Iterable[str] = ()) -> None:
    top, bottom = oracle.stages(some)
    assert answer["top"] == (None if "top" in unknown else top)
    assert answer["bottom"] == (None if "bottom" in unknown else bottom)
    if answer["revenue"] is None:
        assert "bottom" in unknown
    else:
        assert money(answer["revenue"]) == oracle.amount(some)
    rate = round(bottom / top, 6) if top and not unknown else None
    assert answer["clickThroughRate"] == rate


def unknown_stages(question: dict[str, str]) -> dict[str, set[str]]:
    """Return the stages, by source, whose events never tell what a question filters by."""
    names = {"country", "campaignId"} & question.keys()
    every = chosen(FACTS, {k: v for k, v in question.items() if k not in ("country", "campaignId")})
    if question.get("countryOf") != "event":
        names -= {"country"}
    found: dict[str, set[str]] = {source: set() for source in ("facebook", "tiktok", "all")}
    for source, of in {"all": every, **oracle.grouped(every, lambda f: f.source)}.items():
        for stage, at in oracle.grouped(of, lambda fact: fact.funnelStage).items():
            for name in names:
                if all(getattr(fact, name) is None for fact in at):
                    found[source].add(stage)
    return found


@each_question
@pytest.mark.parametrize("exact", [False, True])
def test_funnel(live: Analytics, question: dict[str, str], exact: bool) -> None:
    answer = live.report("funnel", **question, exact=exact)
    some = chosen(FACTS, question)
    check_bounds(answer, question)
    unknown = unknown_stages(question)
    check_stages(answer, some, unknown["all"])
    for name, key in (
        ("bySource", "source"),
        ("byCampaign", "campaignId"),
        ("byCountry", "country"),
    ):
        expected = oracle.grouped(some, lambda fact, key=key: getattr(fact, key))
        if name == "byCampaign":
            expected.pop(None, None)
        assert {part[key] for part in answer[name]} == set(expected)
        for part in answer[name]:
            of = expected[part[key]]
            silent = {
                stage
                for stage in ("top", "bottom")
                if any(f.funnelStage == stage for f in some)
                and not any(f.funnelStage == stage and getattr(f, key) for f in some)
            }
            if key == "source":
                silent = unknown[part[key]]
            elif part[key] is None:
                silent = unknown["all"]
            check_stages(part, of, silent)
    users = answer["users"]
    if unknown["all"]:
        assert set(users.values()) == {None}
        return
    assert users["accuracy"]["exact"] or not exact
    assert within(users["continued"], users["accuracy"], oracle.continued(some))
    for stage in ("top", "bottom"):
        true = oracle.users(fact for fact in some if fact.funnelStage == stage)
        assert abs(users[stage] - true) <= (0 if exact else 0.05 * true)


@pytest.mark.parametrize("report", ["overview", "funnel"])
@pytest.mark.parametrize("range_", RANGES[:4], ids=str)
def test_what_a_filter_leaves_out_is_said(
    live: Analytics, report: str, range_: dict[str, str]
) -> None:
    """In events and in money; of countries also what counts by the user's."""
    every = chosen(FACTS, range_)
    told = oracle.grouped(
        (f for f in every if f.country is None),
        lambda fact: latest_country(fact.source, fact.userId),
    )
    answer = live.report(report, **range_, country="US")["leftOut"]
    assert answer["countryOf"] == "user"
    check_sums(answer["byUser"], told.get("US", []))
    check_sums(answer["noCountry"], told.get(None, []))
    assert answer["noCampaign"] is None
    answer = live.report(report, **range_, country="US", countryOf="event")["leftOut"]
    assert (answer["countryOf"], answer["byUser"]) == ("event", None)
    check_sums(answer["noCountry"], [f for f in every if f.country is None])
    answer = live.report(report, **range_, campaignId="campaign-01")["leftOut"]
    check_sums(answer["noCampaign"], [f for f in every if f.campaignId is None])
    assert live.report(report, **range_)["leftOut"] is None


@functools.cache
def latest_country(source: str, user: str) -> str | None:
    of_user = [f for f in FACTS if (f.source, f.userId) == (source, user) and f.country]
    return max(of_user, key=lambda fact: fact.at).country if of_user else None


def check_sums(sums: dict[str, Any], some: list[Fact]) -> None:
    assert (sums["events"], sums["purchases"]) == (len(some), oracle.purchases(some))
    assert money(sums["revenue"]) == oracle.amount(some)


def test_no_silent_zero(live: Analytics) -> None:
    """Purchases on TikTok tell no country: their users do, or nobody knows."""
    question = {"source": "tiktok", "country": "US"}
    answer = live.report("funnel", **question)
    assert answer["bottom"] > 0
    assert answer["clickThroughRate"] > 0
    assert money(answer["revenue"]) > 0
    answer = live.report("funnel", **question, countryOf="event")
    assert answer["top"] > 0
    unknown = ("bottom", "clickThroughRate", "revenue")
    assert [answer[name] for name in unknown] == [None] * 3
    assert [answer["bySource"][0][name] for name in unknown] == [None] * 3
    assert answer["users"]["continued"] is None
    answer = live.report("funnel", campaignId="campaign-01")
    assert answer["top"] is None
    assert answer["bottom"] > 0


@each_question
@pytest.mark.parametrize("exact", [False, True])
def test_countries(live: Analytics, question: dict[str, str], exact: bool) -> None:
    answer = live.report("countries", **question, exact=exact)
    some = chosen(FACTS, question)
    check_bounds(answer, question)
    expected = oracle.grouped(some, lambda fact: fact.country)
    assert answer["uniqueUsersAccuracy"]["exact"] or not exact
    parts = {item["country"]: item for item in answer["items"]} | {None: answer["unknown"]}
    assert set(parts) == set(expected) | {None}
    for country, part in parts.items():
        of = expected.get(country, [])
        assert part["events"] == len(of)
        assert part["purchases"] == oracle.purchases(of)
        assert money(part["revenue"]) == oracle.amount(of)
        error = answer["uniqueUsersAccuracy"]["relativeError"]
        assert abs(part["uniqueUsers"] - oracle.users(of)) <= 2 * error * oracle.users(of)
    assert [i["events"] for i in answer["items"]] == sorted(
        (i["events"] for i in answer["items"]), reverse=True
    )


@each_question
@pytest.mark.parametrize("exact", [False, True])
def test_campaigns(live: Analytics, question: dict[str, str], exact: bool) -> None:
    answer = live.report("campaigns", **question, sort="revenue", exact=exact)
    check_bounds(answer, question)
    expected = oracle.grouped(chosen(FACTS, question), lambda fact: fact.campaignId)
    expected.pop(None, None)
    assert {item["campaignId"] for item in answer["items"]} == set(expected)
    for item in answer["items"]:
        of = expected[item["campaignId"]]
        clicks = sum(fact.eventType == "ad.click" for fact in of)
        assert (item["events"], item["clicks"]) == (len(of), clicks)
        rate = round(oracle.purchases(of) / clicks, 6) if clicks else None
        assert item["purchaseRate"] == rate
        assert money(item["revenue"]) == oracle.amount(of)
        assert item["purchases"] == oracle.purchases(of)
        assert item["firstEvent"] == oracle.utc(min(fact.at for fact in of))
        assert item["lastEvent"] == oracle.utc(max(fact.at for fact in of))
    revenues = [money(item["revenue"]) for item in answer["items"]]
    assert revenues == sorted(revenues, reverse=True)


@each_question
@pytest.mark.parametrize("limit", [2, 15])
@pytest.mark.parametrize("by", ["events", "revenue"])
def test_users(live: Analytics, question: dict[str, str], by: str, limit: int) -> None:
    answer = live.report("users", **question, by=by, limit=limit)
    check_bounds(answer, question)
    expected = oracle.grouped(chosen(FACTS, question), lambda fact: fact.userId)
    figure = oracle.amount if by == "revenue" else len
    order = sorted(expected, key=lambda u: (-figure(expected[u]), -len(expected[u]), u))
    assert [item["userId"] for item in answer["items"]] == order[:limit]
    for item in answer["items"]:
        of = expected[item["userId"]]
        assert item["events"] == len(of)
        assert (item["topEvents"], item["bottomEvents"]) == oracle.stages(of)
        assert (item["purchases"], money(item["revenue"])) == (
            oracle.purchases(of),
            oracle.amount(of),
        )
        assert item["firstEvent"] == oracle.utc(min(fact.at for fact in of))
        assert item["lastEvent"] == oracle.utc(max(fact.at for fact in of))


@each_question
def test_users_who_are_named(live: Analytics, question: dict[str, str]) -> None:
    """They are in the answer wherever they would be among all, and nobody else."""
    everybody = live.report("users", **question, limit=1000)["items"]
    named = [item["userId"] for item in everybody[:: len(everybody) // 3 + 1]]
    answer = live.report("users", **question, userId=[*named, "nobody"])
    assert answer["items"] == [item for item in everybody if item["userId"] in named]


@each_question
@pytest.mark.parametrize("exact", [False, True])
def test_revenue(live: Analytics, question: dict[str, str], exact: bool) -> None:
    answer = live.report("revenue", **question, interval="day", exact=exact)
    check_bounds(answer, question)
    some = [fact for fact in chosen(FACTS, question) if fact.revenue is not None]
    check_figures(answer, some)
    for name, key in (
        ("bySource", "source"),
        ("byCampaign", "campaignId"),
        ("byCountry", "country"),
    ):
        expected = oracle.grouped(some, lambda fact, key=key: getattr(fact, key))
        assert {part[key] for part in answer[name]} == set(expected)
        for part in answer[name]:
            check_figures(part, expected[part[key]])
    by_time = oracle.grouped(some, lambda f: oracle.utc(oracle.start_of(f.at, "day")))
    assert set(by_time) <= {point["time"] for point in answer["points"]}
    for point in answer["points"]:
        check_figures(point, by_time.get(point["time"], []))


def check_figures(answer: dict[str, Any], some: list[Fact]) -> None:
    number, total = len(some), oracle.amount(some)
    assert (answer["purchases"], money(answer["revenue"])) == (number, total)
    if number:
        assert abs(money(answer["averageOrderValue"]) - total / number) <= Decimal("0.005")
    else:
        assert answer["averageOrderValue"] is None


@each_question
@pytest.mark.parametrize("exact", [False, True])
def test_demographics(live: Analytics, question: dict[str, str], exact: bool) -> None:
    answer = live.report("demographics", **question, limit=1000, exact=exact)
    check_bounds(answer, question)
    expected: dict[tuple[str, str, str], list[Fact]] = {}
    for fact in chosen(FACTS, question):
        for dimension, value in fact.groups:
            expected.setdefault((fact.source, dimension, value), []).append(fact)
    assert {
        (of["source"], of["dimension"], item["value"]): (item["events"], money(item["revenue"]))
        for of in answer["dimensions"]
        for item in of["items"]
    } == {key: (len(of), oracle.amount(of)) for key, of in expected.items()}


SAMPLED: list[dict[str, str]] = [
    {"country": "US"},
    {"eventType": "video.view", "from": "2024-06-13T10:00:00Z"},
    {"country": "DE", "funnelStage": "bottom"},
    {"campaignId": "campaign-01"},
    {"country": "Atlantis"},
]


@pytest.fixture(scope="module")
def sampling(live: Analytics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The function as it is with very many events: users are sampled, not counted."""
    folder = tmp_path_factory.mktemp("analytics")
    with beside(live, folder, EXACT_USERS_MAX_EVENTS="0") as client:
        yield client


@pytest.mark.parametrize("question", SAMPLED, ids=str)
def test_users_of_very_many_events_are_sampled(
    sampling: httpx.Client, question: dict[str, str]
) -> None:
    some = chosen(FACTS, question)
    totals = sampling.get("/analytics/overview", params=question).json()["totals"]
    users = sampling.get("/analytics/funnel", params=question).json()["users"]
    assert within(totals["uniqueUsers"], totals["uniqueUsersAccuracy"], oracle.users(some))
    check_conversion(totals, some, exact=False)
    if "campaignId" in question:  # events at the top tell none
        assert set(users.values()) == {None}
        return
    assert within(users["continued"], users["accuracy"], oracle.continued(some))
    assert users["accuracy"]["exact"] is (not some)


def test_the_newest_event_is_where_the_generator_put_it() -> None:
    assert max(fact.at for fact in FACTS) < UNTIL
