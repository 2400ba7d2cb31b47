"""Writing what a team keeps beside its events: who may, what is taken, what is stored."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from infra.local.alerts import something_is_due
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import Analytics, analytics
from tests.support.secrets import analytics_keys

PROBLEM = "application/problem+json"
READ, WRITE = {"X-Api-Key": "read"}, {"X-Api-Key": "write"}
CSV = {"Content-Type": "text/csv"}
ENTRY = {
    "date": "2026-11-01",
    "source": "facebook",
    "campaignId": "campaign-1",
    "amount": "10.50",
}
HEADER = "date,source,campaignId,amount"


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    settings = {
        "SECRETS_DIR": analytics_keys(folder / "secrets"),
        "CURRENCY": "EUR",
        "MAX_WRITE_BYTES": "20000",
    }
    with analytics(postgres, migrated_template, folder, **settings) as function:
        yield function


def put(live: Analytics, body: Any, **more: Any) -> httpx.Response:
    """Import spend: text as CSV, all else as JSON."""
    content = {"content": body} if isinstance(body, (str, bytes)) else {"json": body}
    headers = WRITE | (CSV if isinstance(body, (str, bytes)) else {}) | more.pop("headers", {})
    return live.client.put("/analytics/spend", headers=headers, **content, **more)


def stored(live: Analytics) -> list[tuple[Any, ...]]:
    with psycopg.connect(live.owner_url) as connection:
        return connection.execute(
            "SELECT day::text, source, campaign_id, amount::text FROM workspace.spend "
            "ORDER BY 1, 2, 3"
        ).fetchall()


def test_a_key_that_writes_reads_and_one_that_reads_does_not_write(live: Analytics) -> None:
    before = stored(live)
    for headers, status, words in (
        ({}, 401, "Send a key that may write"),
        ({"X-Api-Key": "wrong"}, 401, "Send a key that may write"),
        (READ, 403, "This key may only read. Send a key of the secret file analytics-write-key"),
    ):
        refused = live.client.put("/analytics/spend", headers=headers, json=[ENTRY])
        assert refused.status_code == status
        assert refused.headers["Content-Type"] == PROBLEM
        assert words in refused.json()["detail"]
    assert stored(live) == before
    for headers, status in ((READ, 200), (WRITE, 200), ({}, 401)):
        assert live.client.get("/analytics/overview", headers=headers).status_code == status
    assert live.client.post("/analytics/overview", headers=WRITE).status_code == 405


def test_the_last_import_of_a_campaign_and_day_wins(live: Analytics) -> None:
    assert put(live, [ENTRY]).json() == {
        "dryRun": False,
        "added": 1,
        "changed": 0,
        "unchanged": 0,
        "removed": 0,
    }
    lines = [
        "\ufeffcampaignId,Date,amount,source,currency",
        "campaign-1,2026-11-01,12,facebook,EUR",
        "",
        '"campaign, 2",2026-11-01,0.000001,facebook,',
    ]
    body = "\r\n".join(lines).encode()
    dry = put(live, body, params={"dryRun": "true"})
    assert dry.json() | {"dryRun": False} == {
        "dryRun": False,
        "added": 1,
        "changed": 1,
        "unchanged": 0,
        "removed": 0,
    }
    assert stored(live) == [("2026-11-01", "facebook", "campaign-1", "10.50")]
    zipped = put(live, gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert zipped.json() == dry.json() | {"dryRun": False}
    assert put(live, [ENTRY | {"amount": "12"}]).json()["unchanged"] == 1
    assert stored(live) == [
        ("2026-11-01", "facebook", "campaign, 2", "0.000001"),
        ("2026-11-01", "facebook", "campaign-1", "12"),
    ]
    gone = put(live, f'{HEADER}\n2026-11-01,facebook,"campaign, 2",\n2026-11-02,facebook,other,')
    assert gone.json()["removed"] == 1
    assert put(live, [ENTRY | {"amount": None}]).json()["removed"] == 1
    assert stored(live) == []


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("", {"line 1": "Expected the columns date, source, campaignId, amount and"}),
        ("date,source,amount\n", {"line 1": "Expected the columns"}),
        (HEADER, {"line 2": "There are no lines after the header"}),
        (
            f"{HEADER}\n2026-11-01,facebook,a,1\n2026-11-31,google,a,-1\n2026-11-02,tiktok,a",
            {
                "line 3, date": "Expected a date such as 2026-11-30",
                "line 3, source": "Known sources: facebook, tiktok",
                "line 3, amount": "Expected an amount such as 120.50",
                "line 4": "3 cells, but the header has 4",
            },
        ),
        (
            f"{HEADER}\n2026-11-01,facebook,a,1\n2026-11-01,facebook,a,2",
            {"line 3": "The same date, source and campaignId as in line 2"},
        ),
        (f"{HEADER},currency\n2026-11-01,facebook,a,1,USD", {"line 2, currency": "are in EUR"}),
        (HEADER.encode() + b"\n2026-11-01,facebook,\xff,1", {"line 2": "It is not UTF-8"}),
        (f'{HEADER}\n2026-11-01,"facebook,a,1', {"line 2": "Unexpected end of data"}),
        ({}, {"body": "Input should be a valid"}),
        ([], {"body": "List should have at least 1 item"}),
        ([ENTRY, ENTRY | {"amount": 1.5}], {"1.amount": "Input should be a valid string"}),
        ([ENTRY, ENTRY], {"1": "The same date, source and campaignId as in 0"}),
    ],
)
def test_an_import_with_a_fault_is_refused_as_a_whole(
    live: Analytics, body: Any, faults: dict[str, str]
) -> None:
    before = stored(live)
    refused = put(live, body)
    assert (refused.status_code, refused.headers["Content-Type"]) == (422, PROBLEM)
    errors = {error["parameter"]: error["message"] for error in refused.json()["errors"]}
    assert errors.keys() == faults.keys()
    for place, message in faults.items():
        assert message in errors[place]
    assert stored(live) == before


def test_bodies_are_bounded_and_of_a_known_type(live: Analytics) -> None:
    large = f"{HEADER}\n" + "2026-11-01,facebook,a,1\n" * 1000
    assert put(live, large).status_code == 413
    zipped = put(live, gzip.compress(large.encode()), headers={"Content-Encoding": "gzip"})
    assert zipped.status_code == 413
    # what a page of another site may send without asking
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = put(live, HEADER, headers={"Content-Type": kind})
        assert refused.status_code == 415, kind
    assert put(live, [ENTRY], params={"dryrun": "true"}).status_code == 422


def test_reading_open_to_all_does_not_open_writing(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    """`ANALYTICS_AUTH=none` alone: 403, which says how to turn writing on."""
    with analytics(postgres, migrated_template, tmp_path) as live:
        refused = live.client.put("/analytics/spend", json=[ENTRY])
        assert refused.status_code == 403
        detail = refused.json()["detail"]
        assert "Writing is off" in detail
        assert "analytics-write-key" in detail
        assert "ANALYTICS_WRITE_AUTH=none" in detail
        assert stored(live) == []


@pytest.mark.slow
def test_writing_is_opened_by_saying_so(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    with analytics(postgres, migrated_template, tmp_path, ANALYTICS_WRITE_AUTH="none") as live:
        assert live.client.put("/analytics/spend", json=[ENTRY]).status_code == 200
        assert "ANALYTICS_WRITE_AUTH=none: anybody who may read may write" in (
            live.function.log.read_text()
        )


def test_views_are_saved_renamed_and_deleted(live: Analytics) -> None:
    def ask(method: str, **more: Any) -> httpx.Response:
        return live.client.request(method, "/analytics/views", headers=WRITE, **more)

    def saved() -> list[tuple[str, str]]:
        items = live.client.get("/analytics/views", headers=READ).json()["items"]
        return [(item["name"], item["query"]) for item in items]

    view = {"name": "Germany, this month", "query": "range=month&country=DE&view=funnels"}
    id_ = ask("POST", json=view).json()["id"]
    assert ask("POST", json={"name": "all", "query": ""}).status_code == 200
    assert ask("POST", json=view).json()["errors"][0]["type"] == "taken"
    assert saved() == [("all", ""), (view["name"], view["query"])]
    assert (
        ask("PUT", params={"id": id_}, json={"name": "all"}).json()["errors"][0]["type"] == "taken"
    )
    assert ask("PUT", params={"id": id_}, json={"name": "Bonn"}).json() == {"id": id_}
    assert ask("PUT", params={"id": id_}, json={"query": "range=7d"}).json() == {"id": id_}
    assert saved() == [("all", ""), ("Bonn", "range=7d")]
    for wrong in (
        {"name": " ", "query": ""},
        {"name": "a", "query": "a b"},
        {"query": ""},
        [],
        {"n": 1},
    ):
        assert ask("POST", json=wrong).status_code == 422
    for method in ("PUT", "DELETE"):
        assert ask(method, json={} if method == "PUT" else None).status_code == 422
        nobody = {"id": "00000000-0000-4000-8000-000000000000"}
        assert ask(method, params=nobody, json={} if method == "PUT" else None).status_code == 404
    assert (
        live.client.request("DELETE", f"/analytics/views?id={id_}", headers=READ).status_code == 403
    )
    assert ask("DELETE", params={"id": id_}).json() == {"id": id_}
    assert saved() == [("all", "")]


def test_annotations_are_written_read_by_range_and_deleted(live: Analytics) -> None:
    def ask(method: str, **more: Any) -> httpx.Response:
        return live.client.request(method, "/analytics/annotations", headers=WRITE, **more)

    def noted(**query: str) -> list[tuple[str, str]]:
        answer = live.client.get("/analytics/annotations", headers=READ, params=query)
        return [(item["time"], item["label"]) for item in answer.json()["items"]]

    start = {"time": "2026-11-27T09:00:00+01:00", "label": "The campaign starts"}
    id_ = ask("POST", json=start).json()["id"]
    new_year = {"time": "2026-01-01", "timezone": "Europe/Berlin", "label": "A year begins"}
    assert ask("POST", json=new_year).status_code == 200
    first, second = (
        ("2025-12-31T23:00:00Z", "A year begins"),
        ("2026-11-27T08:00:00Z", "The campaign starts"),
    )
    assert noted() == [first, second]
    assert noted(limit="1") == [second]
    assert noted(**{"from": "2026-11-27T08:00:00Z", "to": "2026-11-27T08:00:01Z"}) == [second]
    assert noted(**{"from": "2026-01-01", "to": "2026-11-27T08:00:00Z"}) == []
    for wrong in (
        {"label": "When?"},
        {"time": "yesterday", "label": "a"},
        {"time": "2026-11-27", "label": "two\nlines"},
        {"time": "2026-11-27", "timezone": "Mars", "label": "a"},
    ):
        assert ask("POST", json=wrong).status_code == 422
    path = f"/analytics/annotations?id={id_}"
    assert live.client.request("DELETE", path, headers=READ).status_code == 403
    assert ask("DELETE", params={"id": id_}).json() == {"id": id_}
    assert ask("DELETE", params={"id": id_}).status_code == 404
    assert noted() == [first]


ALERT = {
    "name": "Revenue of Germany falls",
    "rule": {
        "kind": "figure",
        "figure": "revenue",
        "condition": "fallen",
        "value": "30",
        "filters": {"country": "DE", "filter": ["device:is:mobile"]},
    },
    "emails": ["growth@example.com", "growth@example.com"],
    "webhook": "https://hooks.example.com:8443/services/secret?token=secret",
}


def test_alerts_are_made_changed_tried_and_deleted(live: Analytics) -> None:
    def ask(method: str, **more: Any) -> httpx.Response:
        return live.client.request(method, "/analytics/alerts", headers=WRITE, **more)

    def listed() -> dict[str, dict[str, Any]]:
        answer = live.client.get("/analytics/alerts", headers=READ).json()
        assert {"name": "spend", "title": "Spend", "unit": "money", "byDay": True} in (
            answer["figures"]
        )
        return {item["name"]: item for item in answer["items"]}

    assert not something_is_due(live.owner_url)
    id_ = ask("POST", json=ALERT).json()["id"]
    assert something_is_due(live.owner_url)
    assert ask("POST", json=ALERT).json()["errors"][0]["type"] == "taken"
    weekly = {"name": "Mondays", "rule": {"kind": "summary"}, "emails": ["all@example.com"]}
    assert ask("POST", json=weekly).status_code == 200
    assert list(listed()) == ["Mondays", "Revenue of Germany falls"]
    made = listed()["Revenue of Germany falls"]
    assert made["rule"] == ALERT["rule"] | {"interval": "day"}
    assert made["emails"] == ["growth@example.com"]
    assert made["webhook"] == "https://hooks.example.com:8443/…"  # the rest is a secret
    assert (made["state"], made["waiting"], made["lastError"]) == ("new", 0, None)
    tried = live.client.post(f"/analytics/alerts/test?id={id_}", headers=WRITE)
    assert tried.json() == {"id": id_, "messages": 2}
    assert listed()["Revenue of Germany falls"]["waiting"] == 2
    assert ask("PUT", params={"id": id_}, json=ALERT | {"name": "Mondays"}).status_code == 422
    changed = ALERT | {"name": "Less", "webhook": None}
    assert ask("PUT", params={"id": id_}, json=changed).json() == {"id": id_}
    assert listed()["Less"]["webhook"] is None
    assert listed()["Less"]["waiting"] == 1  # what was for the webhook is not sent any more

    def with_rule(**rule: Any) -> dict[str, Any]:
        return ALERT | {"rule": {**ALERT["rule"], **rule}}  # type: ignore[dict-item]

    for wrong, words in (
        (ALERT | {"emails": [], "webhook": None}, "Name an e-mail address or a webhook"),
        (ALERT | {"emails": ["a@b.example\nBcc: c@d.example"]}, "should match pattern"),
        (ALERT | {"webhook": "ftp://hooks.example.com/"}, "should match pattern"),
        (ALERT | {"webhook": "https://a:b@hooks.example.com/"}, "Expected a URL such as"),
        (ALERT | {"webhook": "https://hooks.example.com:99999/"}, "Expected a URL such as"),
        (with_rule(figure="happiness"), "Known figures: events, "),
        (with_rule(figure="spend", interval="hour"), "What was spent is known by days"),
        (with_rule(value="0"), "A change is by more than 0"),
        (with_rule(value="-1"), "should match pattern"),
        (with_rule(filters={"source": "google"}), "source: "),
        (with_rule(filters={"from": "2026-11-01"}), "from: "),
        (with_rule(filters={"filter": ["nothing"]}), "filter: "),
        (with_rule(filters={"filter": [{"by": "x", "operator": "is"}]}), "a list of texts"),
        (with_rule(kind="dream"), "rule"),
    ):
        refused = ask("POST", json=wrong)
        assert refused.status_code == 422
        assert words in refused.json()["detail"], refused.text
    path = f"/analytics/alerts?id={id_}"
    assert live.client.request("DELETE", path, headers=READ).status_code == 403
    assert ask("DELETE", params={"id": id_}).json() == {"id": id_}
    gone = live.client.post(f"/analytics/alerts/test?id={id_}", headers=WRITE)
    assert gone.status_code == 404
    assert list(listed()) == ["Mondays"]
