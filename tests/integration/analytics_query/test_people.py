"""Reports that follow people through the stored events equal the oracle."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics, beside
from tests.support.stored_events import generated, store_around_sealing

EVENTS = generated(3000, seed=17, mix=Mix(days=40, users=300))
FACTS = oracle.facts(EVENTS)
QUESTIONS: list[dict[str, str]] = [
    {},
    {"from": "2024-05-27", "to": "2024-06-17", "timezone": "Europe/Berlin"},
    {"from": "2024-05-29T07:10:00Z", "source": "tiktok"},
    {"campaignId": "campaign-02"},
    {"country": "DE", "to": "2024-06-12"},
    {"country": "US", "countryOf": "event", "funnelStage": "bottom"},
    {"country": "Atlantis"},
]

each_question = pytest.mark.parametrize(
    "question",
    [
        pytest.param(question, id=str(question), marks=[pytest.mark.slow] if place > 1 else [])
        for place, question in enumerate(QUESTIONS)
    ],
)


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with analytics(postgres, migrated_template, folder) as running:
        store_around_sealing(running.owner_url, EVENTS, 2000)
        yield running


@pytest.fixture(scope="module")
def sampling(live: Analytics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The function as it is with very many events: people are sampled, not counted."""
    folder = tmp_path_factory.mktemp("analytics")
    with beside(live, folder, EXACT_USERS_MAX_EVENTS="0") as client:
        yield client


def zone_of(question: dict[str, str]) -> ZoneInfo:
    return ZoneInfo(question.get("timezone", "UTC"))


def local(question: dict[str, str]) -> dict[str, str]:
    """Return a question with its dates as the moments that they are in its time zone."""
    zone = zone_of(question)
    return {
        name: f"{value}T00:00:00{midnight(value, zone)}"
        if name in ("from", "to") and "T" not in value
        else value
        for name, value in question.items()
        if name != "timezone"
    }


def midnight(day: str, zone: ZoneInfo) -> str:
    offset = datetime.fromisoformat(day).replace(tzinfo=zone).isoformat()
    return offset[19:]


@each_question
@pytest.mark.parametrize(
    ("split", "returns"), [("none", "any"), ("source", "same"), ("campaignId", "any")]
)
def test_retention(live: Analytics, question: dict[str, str], split: str, returns: str) -> None:
    zone = zone_of(question)
    answer = live.report("retention", **question, split=split, returns=returns, limit=50)
    expected = oracle.cohorts(FACTS, local(question), split, zone, returns)
    weeks = [oracle.week_of(datetime.fromisoformat(at), zone) for at in answer["times"]]
    found: dict[Any, Any] = {}
    for item in answer["items"]:
        assert item["users"] == sum(cohort["users"] for cohort in item["cohorts"])
        for cohort in item["cohorts"]:
            place = weeks.index(oracle.week_of(datetime.fromisoformat(cohort["time"]), zone))
            assert cohort["users"] == cohort["returned"][0]
            assert (cohort["usersAccuracy"]["exact"], cohort["rateError"]) == (True, 0)
            assert len(cohort["returned"]) == len(weeks) - place
            found.setdefault(item["key"], {})[weeks[place]] = {
                week: number
                for week, number in zip(weeks[place:], cohort["returned"], strict=True)
                if number
            }
    assert found == expected
    assert answer["omitted"] == 0


def test_retention_of_very_many_events_is_sampled(sampling: httpx.Client) -> None:
    answer = sampling.get("/analytics/retention").json()
    [item] = answer["items"]
    expected = oracle.cohorts(FACTS, {}, "none", ZoneInfo("UTC"), "any")["all"]
    for cohort in item["cohorts"]:
        week = oracle.week_of(datetime.fromisoformat(cohort["time"]), ZoneInfo("UTC"))
        accuracy = cohort["usersAccuracy"]
        assert not accuracy["exact"]
        slack = 2 * (accuracy["upper"] - accuracy["lower"])
        true = expected[week][week]
        assert accuracy["lower"] - slack <= true <= accuracy["upper"] + slack
        assert 0 < cohort["rateError"] <= 1


FUNNELS: list[tuple[str, list[dict[str, Any]], str, timedelta]] = [
    ("ad.view,ad.click,checkout.complete", [], "30d", timedelta(days=30)),
    ("", [{"funnelStage": "top"}, {"funnelStage": "bottom"}], "36h", timedelta(hours=36)),
    (
        "",
        [
            {"source": "facebook", "where": {"user": {"gender": "female"}}},
            {"eventType": "ad.click", "campaignId": "campaign-01"},
            {"funnelStage": "top", "country": "US"},
        ],
        "20d",
        timedelta(days=20),
    ),
    (
        "",
        [
            {"source": "facebook", "filter": ["gender:is:female", "ageGroup:oneOf:25-34,35-44"]},
            {"filter": ["gender:oneOf:female"]},
            {"funnelStage": "bottom", "filter": ["data.user.gender:isNotSet"]},
        ],
        "20d",
        timedelta(days=20),
    ),
    ("", [{"filter": ["gender:isSet"]}, {"funnelStage": "bottom"}], "20d", timedelta(days=20)),
    ("video.view,video.view,video.view", [], "7d", timedelta(days=7)),
]


def matcher(step: dict[str, Any]) -> Callable[[oracle.Fact], bool]:
    plain = {name: value for name, value in step.items() if name not in ("where", "filter")}
    gender = step.get("where", {}).get("user", {}).get("gender")
    filters = step.get("filter", [])
    return lambda fact: (
        all(getattr(fact, name) == value for name, value in plain.items())
        and (gender is None or ("gender", gender) in fact.groups)
        and all(holds(text, fact) for text in filters)
    )


def holds(text: str, fact: oracle.Fact) -> bool:
    """Return whether a filter by a demographic group holds."""
    by, operator, *values = text.removeprefix("data.user.").split(":")
    told = dict(fact.groups).get(by)
    if operator in ("isSet", "isNotSet"):
        return (told is None) == (operator == "isNotSet")
    return told in values[0].split(",")


@each_question
@pytest.mark.parametrize("split", ["none", "source", "campaignId", "country"])
def test_steps(live: Analytics, question: dict[str, str], split: str) -> None:
    for names, objects, window, length in FUNNELS:
        steps = objects or [{"eventType": name} for name in names.split(",")]
        asked = {"steps": names or json.dumps(objects), "window": window, "split": split}
        answer = live.report("steps", **question, **asked, limit=1000)
        some = oracle.chosen(FACTS, local(question))
        expected = oracle.funnel_steps(some, [matcher(step) for step in steps], length, split)
        check_steps(answer["steps"], [sum(of) for of in zip(*expected.values(), strict=True)])
        if split != "none":
            assert {item["key"] for item in answer["items"]} == set(expected)
            for item in answer["items"]:
                check_steps(item["steps"], expected[item["key"]])


def check_steps(found: list[dict[str, Any]], reached: list[int]) -> None:
    reached = reached or [0] * len(found)
    assert [step["people"] for step in found] == reached
    for step, people, before in zip(found, reached, [reached[0], *reached], strict=False):
        assert step["droppedOff"] == before - people
        assert step["ofPrevious"] == (round(people / before, 6) if before else None)
        assert step["ofFirst"] == (round(people / reached[0], 6) if reached[0] else None)
        assert step["peopleAccuracy"]["exact"]


def test_steps_of_very_many_events_are_sampled(sampling: httpx.Client) -> None:
    answer = sampling.get("/analytics/steps").json()
    steps = [matcher({"funnelStage": stage}) for stage in ("top", "bottom")]
    reached = oracle.funnel_steps(FACTS, steps, timedelta(days=7), "none")["all"]
    for step, true in zip(answer["steps"], reached, strict=True):
        accuracy = step["peopleAccuracy"]
        slack = 2 * (accuracy["upper"] - accuracy["lower"])
        assert not accuracy["exact"]
        assert accuracy["lower"] - slack <= true <= accuracy["upper"] + slack


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("steps", "ad.view", "at least 2 items"),
        ("steps", "[{},{}]", "must name"),
        ("steps", "[", "Not valid JSON"),
        ("steps", '[{"eventType":"a"},{"typ":"b"}]', "no such parameter"),
        ("steps", '[{"eventType":"a"},{"filter":["planet:is:Mars"]}]', "Unknown property"),
        ("steps", '[{"eventType":"a"},{"filter":[]}]', "must name"),
        ("window", "0d", "match pattern"),
        ("window", "400d", "at most 366 days"),
    ],
)
def test_wrong_steps_are_named(live: Analytics, name: str, value: str, said: str) -> None:
    refused = live.get("steps", **{name: value})
    assert refused.status_code == 422
    assert {fault["parameter"] for fault in refused.json()["errors"]} == {name}
    assert said in refused.json()["detail"]


def test_more_cohorts_than_can_be_read_are_refused(live: Analytics) -> None:
    refused = live.get("retention", interval="day", **{"from": "2023-01-01", "to": "2024-01-01"})
    assert refused.status_code == 422
    assert "365 cohorts of one day" in refused.json()["detail"]
    limited = live.report("retention", split="campaignId", limit=2)
    assert (len(limited["items"]), limited["omitted"]) == (2, 10)
