"""Search and export of raw events."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from infra.cli.load.event_generator import Mix
from infra.database.seal import seal_finished_days
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import kinds, oracle
from tests.support.analytics import Analytics, analytics
from tests.support.net import wait_until
from tests.support.stored_events import generated, store

EVENTS = generated(2500, seed=3, mix=Mix(days=12, users=200))
SPECIAL: dict[str, Any] = {
    **EVENTS[-1],
    "eventId": '=HYPERLINK("http://x")',
    "timestamp": "2024-06-15T12:00:00.123456+02:00",
    "campaign": {"note": 'naïve, "quoted"\nline'},
}
SENT = [*EVENTS, SPECIAL]
BY_ID = {event["eventId"]: event for event in SENT}


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with analytics(postgres, migrated_template, folder, DB_POOL_MAX="4") as running:
        store(running.owner_url, SENT[:1500])
        seal_finished_days(running.owner_url, timedelta(0))
        store(running.owner_url, SENT[1500:])
        yield running


def newest_first(events: list[dict[str, Any]]) -> list[str]:
    return [
        event["eventId"]
        for event in sorted(
            events, key=lambda e: (oracle.moment(e["timestamp"]), e["eventId"]), reverse=True
        )
    ]


def contains(data: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(data, dict) and all(
            name in data and contains(data[name], value) for name, value in part.items()
        )
    return data == part


def chosen(question: dict[str, Any]) -> list[dict[str, Any]]:
    where = json.loads(question.get("where", "{}"))
    return [
        event
        for event in SENT
        if oracle.chosen(oracle.facts([event]), question)
        and contains(event["data"], where)
        and question.get("userId") in (None, event["data"]["user"]["userId"])
    ]


MAX_PAGES = 12
QUESTIONS: list[dict[str, Any]] = [
    {},
    {"from": "2024-06-11T03:20:00Z", "to": "2024-06-19T12:00:00Z"},
    {"source": "tiktok", "eventType": "purchase"},
    {"campaignId": "campaign-03"},
    {"country": "PL", "from": "2024-06-14T12:00:00-03:00"},
    {"where": '{"engagement": {"device": "mobile", "browser": "Safari"}}'},
    {"where": '{"user": {"location": {"city": "Lviv"}}}', "funnelStage": "bottom"},
    {"where": '{"user": {"userId": "nobody"}}'},
    {"where": "{}"},
    {"userId": "fb-user-7"},
    {"from": "2031-01-01"},
    {"from": "2024-06-14", "to": "2024-06-14"},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("limit", kinds.quick_first([250, 7, 1000]))
def test_pages_follow_each_other(live: Analytics, question: dict[str, Any], limit: int) -> None:
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        page = live.report("events", **question, limit=limit, **cursor)
        found += [event["eventId"] for event in page["items"]]
        if page["nextCursor"] is None:
            break
        assert len(page["items"]) == limit
        cursor = {"cursor": page["nextCursor"]}
    expected = newest_first(chosen(question))
    assert found == expected[: len(found)]
    assert len(found) == min(len(expected), MAX_PAGES * limit)


def test_an_event_is_answered_as_it_was_sent(live: Analytics) -> None:
    page = live.report(
        "events", **{"from": "2024-06-15T10:00:00.123456Z"}, to="2024-06-15T10:00:00.123457Z"
    )
    (event,) = page["items"]
    assert event["eventId"] == SPECIAL["eventId"]
    assert event["timestamp"] == "2024-06-15T10:00:00.123456Z"
    assert event["data"] == SPECIAL["data"]
    assert event["extra"] == {"campaign": SPECIAL["campaign"]}


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_exports_hold_all_events_in_order(live: Analytics, question: dict[str, Any]) -> None:
    expected = newest_first(chosen(question))
    lines = live.get("events", **question, format="ndjson")
    assert lines.headers["content-type"] == "application/x-ndjson"
    events = [json.loads(line) for line in lines.text.splitlines()]
    assert [event["eventId"] for event in events] == expected
    assert all(event["data"] == BY_ID[event["eventId"]]["data"] for event in events)

    table = live.get("events", **question, format="csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert [row["eventId"].removeprefix("'") for row in rows] == expected
    for row, event in zip(rows, events, strict=True):
        assert json.loads(row["data"]) == event["data"]
        assert (row["revenue"] or None) == (event["revenue"])
        assert row["timestamp"] == event["timestamp"]


def test_formulas_do_not_reach_spreadsheets(live: Analytics) -> None:
    table = live.get("events", format="csv", to="2024-06-16")
    rows = csv.DictReader(io.StringIO(table.text, newline=""))
    assert sum(row["eventId"].startswith("'=HYPERLINK") for row in rows) == 1


def test_an_export_can_be_limited(live: Analytics) -> None:
    lines = live.get("events", format="ndjson", limit=1200).text.splitlines()
    assert [json.loads(line)["eventId"] for line in lines] == newest_first(SENT)[:1200]


def test_the_accept_header_chooses_the_format(live: Analytics) -> None:
    def kind(accept: str) -> str:
        answer = live.client.get(
            "/analytics/events", params={"limit": 1}, headers={"Accept": accept}
        )
        return answer.headers["content-type"]

    assert kind("text/csv") == "text/csv; charset=utf-8"
    assert kind("application/x-ndjson") == "application/x-ndjson"
    assert kind("text/html,*/*;q=0.8") == "application/json"


def test_revenue_is_exact(live: Analytics) -> None:
    question = {"source": "facebook", "eventType": "checkout.complete", "limit": 1000}
    items = live.report("events", **question)["items"]
    assert items
    for item in items:
        amount = BY_ID[item["eventId"]]["data"]["engagement"]["purchaseAmount"]
        assert Decimal(item["revenue"]) == Decimal(amount)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("where", "{"),
        ("where", "[]"),
        ("where", '{"user": "\\u0000"}'),
        ("where", "[" * 3000),
        ("where", '{"a":' * 600 + "1" + "}" * 600),
        ("cursor", "what?"),
        ("cursor", "bm90IGEgY3Vyc29y"),
        ("limit", "0"),
        ("limit", "1001"),
        ("format", "xml"),
        ("userId", ""),
    ],
)
def test_a_wrong_parameter_is_named(live: Analytics, name: str, value: str) -> None:
    answer = live.get("events", **{name: value})
    if name == "where" and value.startswith('{"a"'):
        assert answer.status_code in (200, 422)
        return
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [name]


def test_an_abandoned_export_returns_its_connection(live: Analytics) -> None:
    def starts() -> bool:
        with live.client.stream("GET", "/analytics/events", params={"format": "ndjson"}) as answer:
            if answer.status_code == 503:  # the one before has not noticed yet
                return False
            assert answer.status_code == 200
            return bool(next(answer.iter_bytes(100)))

    for _ in range(10):  # more than there are export slots
        wait_until(starts)
    assert live.report("events", limit=1)["items"]


def test_exports_leave_connections_for_reports(live: Analytics) -> None:
    head = live.client.head("/analytics/events", params={"format": "csv"})
    assert (head.status_code, head.content) == (200, b"")
    with httpx.Client(base_url=live.function.url, verify=False) as other:
        assert other.get("/analytics/overview").status_code == 200
