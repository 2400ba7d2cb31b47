"""Filters and breakdowns by any property equal the same computed from the events that were sent."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics, beside
from tests.support.oracle import Fact
from tests.support.stored_events import generated, store_around_sealing

EVENTS = generated(900, seed=23, mix=Mix(days=4, users=150))
LONG = "x" * 250
for place, sent in enumerate(EVENTS):  # fields that no contract names are kept
    if place % 5 == 0:
        tags: list[Any] = ["a%b_c", 'say "hi"', 7, 7.0, True, None, {"deep": place % 3}, LONG, ""]
        sent["data"]["engagement"]["tag"] = tags[place // 5 % len(tags)]
    if place % 7 == 0:
        sent["channel"] = {"name": f"ch-{place % 4}"}
PAIRS = [(fact, event) for event in EVENTS for fact in oracle.facts([event])]
RANGE = {"from": "2024-06-17T07:10:00Z", "to": "2024-06-19T21:00:00Z"}
COLUMNS = {"source", "funnelStage", "eventType", "campaignId", "country", "userId"}
PATHS = {
    "gender": "data.user.gender",
    "city": "data.user.location.city",
    "age": "data.user.age",
    "device": "data.engagement.device",
    "browser": "data.engagement.browser",
    "followers": "data.user.followers",
    "referrer": "data.engagement.referrer",
    "item": "data.engagement.purchasedItem",
}
OLDER = ["18", "25", "35", "45", "55", "65"]


def value_of(pair: tuple[Fact, dict[str, Any]], by: str) -> str | None:
    """Return the value that an event has of a property."""
    fact, event = pair
    if by in COLUMNS:
        return getattr(fact, by)
    if by in ("ageGroup", "followerBand"):
        return dict(fact.groups).get(by)
    root, *keys = PATHS.get(by, by).split(".")
    found: Any = event["data"] if root == "data" else event
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found is None or isinstance(found, str):
        return found
    return json.dumps(found)


def holds(pair: tuple[Fact, dict[str, Any]], condition: str) -> bool:
    by, operator, *rest = condition.split(":", 2)
    value, given = value_of(pair, by), "".join(rest)
    tests: dict[str, Callable[[], bool]] = {
        "is": lambda: value == given,
        "isNot": lambda: value != given,
        "oneOf": lambda: (
            value in (json.loads(given) if given.startswith("[") else given.split(","))
        ),
        "contains": lambda: value is not None and given.lower() in value.lower(),
        "isSet": lambda: value is not None,
        "isNotSet": lambda: value is None,
    }
    return tests[operator]()


def key_of(fact: Fact) -> tuple[Any, ...]:
    return fact.at, fact.source, fact.userId, fact.eventType


def chosen(question: dict[str, Any]) -> list[tuple[Fact, dict[str, Any]]]:
    plain = {name: value for name, value in question.items() if name != "filter"}
    kept = {key_of(fact) for fact in oracle.chosen([fact for fact, _ in PAIRS], plain)}
    conditions = question.get("filter", [])
    return [
        pair
        for pair in PAIRS
        if key_of(pair[0]) in kept and all(holds(pair, each) for each in conditions)
    ]


def facts(pairs: list[tuple[Fact, dict[str, Any]]]) -> list[Fact]:
    return [fact for fact, _ in pairs]


FILTERS = [
    ["ageGroup:oneOf:18-24,65+", "funnelStage:is:bottom"],
    ["device:isNot:mobile", "userId:contains:-1"],
    ['data.engagement.tag:is:say "hi"'],
    ["device:is:mobile' OR true --"],
    ["device:is:mobile"],
    ["device:isNot:mobile", "source:is:facebook"],
    ["followerBand:is:1K-9.9K"],
    ["city:contains:LI"],
    ["browser:isSet", "campaignId:isNot:campaign-01"],
    ["item:isNotSet", 'country:oneOf:["DE","US"]'],
    ["data.engagement.tag:contains:%b_"],
    ["data.engagement.tag:oneOf:7,true"],
    ["data.engagement.tag:is:"],
    ["extra.channel.name:is:ch-2"],
    ["userId:contains:-1", "age:isSet"],
    ["data.engagement.tag.deep:is:1"],
    ["eventType:is:%"],
]


def each_first(cases: list[Any], quick: int) -> list[Any]:
    """Return the cases as parameters, those beyond the first ones slow."""
    return [
        pytest.param(case, id=repr(case)[:60], marks=[pytest.mark.slow] if place >= quick else [])
        for place, case in enumerate(cases)
    ]


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with analytics(postgres, migrated_template, folder) as function:
        store_around_sealing(function.owner_url, EVENTS, 600)
        yield function


@pytest.mark.parametrize("conditions", each_first(FILTERS, 3))
def test_a_filter_by_properties(live: Analytics, conditions: list[str]) -> None:
    """In totals with money and people, in the funnel, over time, among raw events."""
    question = {**RANGE, "filter": conditions}
    some = facts(chosen(question))
    overview = live.report("overview", **question)
    totals = overview["totals"]
    assert (totals["events"], totals["purchases"]) == (len(some), oracle.purchases(some))
    assert Decimal(totals["revenue"]) == oracle.amount(some)
    assert (totals["uniqueUsers"], totals["buyers"]) == (oracle.users(some), oracle.buyers(some))
    assert totals["uniqueUsersAccuracy"]["exact"]
    series = live.report("timeseries", **question, interval="day", split="none")["series"]
    assert sum(point["events"] for point in series[0]["points"]) == len(some)
    page = live.report("events", **question, limit=1000)["items"]
    assert len(page) == min(len(some), 1000)
    assert {item["userId"] for item in page} <= {fact.userId for fact in some}
    check_left_out(overview["leftOut"], conditions)
    assert live.report("steps", **question)["leftOut"] == overview["leftOut"]
    assert live.report("retention", **question)["leftOut"] == overview["leftOut"]
    export = live.get("events", **question, format="ndjson")
    assert len(export.text.splitlines()) == len(some)
    people = live.report("users", **question, limit=1000)["items"]
    assert {item["userId"]: item["events"] for item in people} == {
        user: len(of) for user, of in oracle.grouped(some, lambda fact: fact.userId).items()
    }


def check_left_out(answer: dict[str, Any] | None, conditions: list[str]) -> None:
    """Events that do not tell what is asked for are said, in events and in money."""
    needed = [each for each in conditions if each.split(":")[1] in ("is", "oneOf", "contains")]
    if not needed:
        assert answer is None
        return
    assert answer is not None
    said = answer["noProperty"]
    assert [each["property"] for each in said] == [each.split(":")[0] for each in needed]
    for each, condition in zip(said, needed, strict=True):
        rest = [other for other in conditions if other != condition]
        absent = [*rest, f"{condition.split(':')[0]}:isNotSet"]
        without = facts(chosen({**RANGE, "filter": absent}))
        assert each["events"] == len(without)
        assert each["purchases"] == oracle.purchases(without)
        assert Decimal(each["revenue"]) == oracle.amount(without)


def test_a_filter_goes_with_all_others(live: Analytics) -> None:
    """With a country that only users tell, too; every report says the same."""
    question = {**RANGE, "source": "tiktok", "country": "US", "filter": ["followerBand:isSet"]}
    some = facts(chosen(question))
    assert any(fact.country is None for fact in some)
    assert live.report("overview", **question)["totals"]["events"] == len(some)
    groups = live.report("demographics", **question)["dimensions"]
    bands = next(each for each in groups if each["dimension"] == "followerBand")["items"]
    assert sum(band["events"] for band in bands) == len(some)
    countries = live.report("countries", **question)
    assert [item["country"] for item in countries["items"]] == ["US"]
    assert countries["items"][0]["uniqueUsers"] == oracle.users(some)
    campaigns = live.report("campaigns", **RANGE, filter=["device:is:mobile"])["items"]
    clicks = facts(chosen({**RANGE, "filter": ["device:is:mobile"]}))
    assert {item["campaignId"]: item["events"] for item in campaigns} == {
        name: len(of) for name, of in oracle.grouped(clicks, lambda f: f.campaignId).items()
    }


def test_no_silent_zero_of_a_stage(live: Analytics) -> None:
    """The top of the funnel tells no browser: nothing is known of it, and it is not 0."""
    funnel = live.report("funnel", filter=["browser:is:Chrome"])
    some = facts(chosen({"filter": ["browser:is:Chrome"]}))
    assert (funnel["top"], funnel["bottom"]) == (None, len(some))
    assert funnel["clickThroughRate"] is None
    assert set(funnel["users"].values()) == {None}


BY = [
    "ageGroup",
    "data.engagement.tag",
    "country",
    *sorted(COLUMNS - {"country"}),
    *PATHS,
    "followerBand",
    "extra.channel.name",
    "data.engagement.nothing",
]


@pytest.mark.parametrize("by", each_first(BY, 3))
def test_a_breakdown(live: Analytics, by: str) -> None:
    for question in ({}, {**RANGE, "filter": ["userId:contains:1"]}):
        answer = live.report("breakdown", by=by, limit=4, **question)
        pairs = chosen(question)
        of = oracle.grouped(pairs, lambda pair: shortened(value_of(pair, by)))
        check_figures(answer["unknown"], facts(of.pop(None, [])))
        order = sorted(of, key=lambda value: (-len(of[value]), value.encode()))
        assert [item["value"] for item in answer["items"]] == order[:4]
        for item in answer["items"]:
            check_figures(item, facts(of[item["value"]]))
        rest = [fact for value in order[4:] for fact in facts(of[value])]
        if not rest:
            assert answer["other"] is None
        else:
            assert answer["other"]["values"] == len(order) - 4
            check_figures(answer["other"], rest)


def shortened(value: str | None) -> str | None:
    return None if value is None else value[:200]


def check_figures(item: dict[str, Any], some: list[Fact], exact: bool = True) -> None:
    assert (item["events"], item["purchases"]) == (len(some), oracle.purchases(some))
    assert Decimal(item["revenue"]) == oracle.amount(some)
    people, accuracy = oracle.users(some), item["peopleAccuracy"]
    if exact:
        assert (item["people"], accuracy["exact"]) == (people, True)
        assert item["conversionRate"] == (
            round(oracle.buyers(some) / people, 6) if people else None
        )
    else:
        assert accuracy["lower"] <= item["people"] <= accuracy["upper"]
        assert accuracy["lower"] <= people <= accuracy["upper"] * 1.5


@pytest.mark.parametrize("sort", each_first(["people", "purchases", "revenue"], 1))
def test_a_breakdown_is_sorted(live: Analytics, sort: str) -> None:
    items = live.report("breakdown", by="eventType", sort=sort, limit=1000)["items"]
    figures = [Decimal(item[sort]) for item in items]
    assert figures == sorted(figures, reverse=True)
    assert len(items) > 5


@pytest.fixture(scope="module")
def busy(live: Analytics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The function as it is with more events than may be read."""
    folder = tmp_path_factory.mktemp("analytics")
    limits = {"EXACT_USERS_MAX_EVENTS": "0", "FILTER_MAX_EVENTS": "400"}
    with beside(live, folder, **limits) as client:
        yield client


@pytest.mark.slow
def test_more_events_than_may_be_read_are_refused_in_words(busy: httpx.Client) -> None:
    """Never a silent zero; a shorter range is answered, and so is what rollups have."""
    for path, parameter in (
        ("overview?filter=device:is:mobile", "filter"),
        ("breakdown?by=device", "by"),
    ):
        refused = busy.get(f"/analytics/{path}")
        assert refused.status_code == 422
        problem = refused.json()
        assert [fault["parameter"] for fault in problem["errors"]] == [parameter]
        assert f"{len(EVENTS):,} events" in problem["detail"]
        assert "shorter range" in problem["detail"]
        short = "&from=2024-06-20T00:00:00Z"
        assert busy.get(f"/analytics/{path}{short}").status_code == 200
        assert busy.get(f"/analytics/{path}&exact=true").status_code == 200
    for by in ("source", "country", "campaignId"):
        answer = busy.get(f"/analytics/breakdown?by={by}&limit=3").json()
        of = oracle.grouped(PAIRS, lambda pair, by=by: value_of(pair, by))
        check_figures(answer["unknown"], facts(of.pop(None, [])), exact=False)
        order = sorted(of, key=lambda value: (-len(of[value]), value))
        assert [item["value"] for item in answer["items"]] == order[:3]
        for item in answer["items"]:
            check_figures(item, facts(of[item["value"]]), exact=False)
        rest = [fact for value in order[3:] for fact in facts(of[value])]
        assert (answer["other"] or {"events": 0})["events"] == len(rest)


WRONG = [
    ("device", "property:operator:value"),
    ("device:like:mobile", "isNot"),
    ("device:IS:mobile", "oneOf"),
    ("device:is", "is needs a value"),
    ("device:contains:", "contains needs a value"),
    ("device:isSet:yes", "isSet takes no value"),
    ("device:is:" + "x" * 201, "at most 200 characters"),
    ("device:is:a\x00b", "NUL"),
    ("device:oneOf:[1]", "JSON array of texts"),
    ("device:oneOf:[", "JSON array of texts"),
    ("device:oneOf:" + ",".join(["x"] * 51), "up to 50 values"),
    ("planet:is:mars", "Unknown property"),
    ("data:is:x", "Unknown property"),
    ("data.:is:x", "Unknown property"),
    ("data.user'; DROP TABLE events; --:is:x", "Unknown property"),
    ('data."user":is:x', "Unknown property"),
    ("data.user.%(x)s:is:x", "Unknown property"),
    ("data.us\x00er:is:x", "Unknown property"),
    ("data.(a+)+$:is:x", "Unknown property"),
    ("data" + ".a" * 9 + ":is:x", "Unknown property"),
    ("data." + "a" * 65 + ":is:x", "Unknown property"),
    ("event_id:is:x", "Unknown property"),
    (":is:x", "Unknown property"),
    ("", "Unknown property"),
]


@pytest.mark.parametrize("wrong", each_first(WRONG, 16))
def test_a_wrong_filter_is_refused_in_words(live: Analytics, wrong: tuple[str, str]) -> None:
    condition, said = wrong
    for name in ("overview", "events"):
        answer = live.get(name, filter=["gender:isSet", condition])
        assert answer.status_code == 422
        assert [fault["parameter"] for fault in answer.json()["errors"]] == ["filter"]
        assert said in answer.json()["detail"]
    if said == "Unknown property":
        by = condition.split(":", maxsplit=1)[0]
        answer = live.get("breakdown", by=by)
        assert answer.status_code == 422
        assert [fault["parameter"] for fault in answer.json()["errors"]] == ["by"]


def test_too_many_filters_are_refused(live: Analytics) -> None:
    assert live.get("overview", filter=["gender:isSet"] * 8).status_code == 200
    assert live.get("overview", filter=["gender:isSet"] * 9).status_code == 422


def test_properties_are_listed(live: Analytics) -> None:
    answer = live.report("properties")
    items = {item["name"]: item for item in answer["items"]}
    assert {name for name, item in items.items() if item["known"]} >= COLUMNS | PATHS.keys()
    assert items["device"]["sources"] == ["facebook", "tiktok"]
    assert items["browser"]["sources"] == ["facebook"]
    others = {name for name, item in items.items() if not item["known"]}
    assert others == {"data.engagement.tag", "data.engagement.tag.deep", "extra.channel.name"}
    assert 0 < answer["eventsLookedAt"] <= 1000
    few = live.report("properties", filter=["data.engagement.tag.deep:isSet"], source="tiktok")
    [deep] = [item for item in few["items"] if item["name"] == "data.engagement.tag.deep"]
    assert deep["sources"] == ["tiktok"]


@pytest.mark.parametrize("name", each_first(["eventType", "city", "userId"], 2))
def test_values_of_a_property_are_found(live: Analytics, name: str) -> None:
    values = oracle.grouped(PAIRS, lambda pair: value_of(pair, name))
    values.pop(None, None)
    for search in (None, "E", "9"):
        question = {} if search is None else {"search": search}
        answer = live.report("properties/values", property=name, limit=5, **question)
        found = [value for value in values if (search or "").lower() in value.lower()]
        order = sorted(found, key=lambda value: (-len(values[value]), value.encode()))
        assert [(item["value"], item["events"]) for item in answer["items"]] == [
            (value, len(values[value])) for value in order[:5]
        ]
        assert answer["omitted"] == max(0, len(order) - 5)


@pytest.mark.slow
def test_values_of_very_many_events(busy: httpx.Client) -> None:
    answer = busy.get("/analytics/properties/values?property=country&search=u&limit=3").json()
    assert {item["value"] for item in answer["items"]} <= {"US", "UA"}
    refused = busy.get("/analytics/properties/values?property=city")
    assert refused.status_code == 422
    assert "shorter range" in refused.json()["detail"]
