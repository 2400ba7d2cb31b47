"""A link reads within its filters, until it is revoked or ends, and nothing else."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import Analytics, analytics
from tests.support.secrets import analytics_keys
from tests.support.stored_events import generated, store

EVENTS = generated(600, seed=41, mix=Mix(days=6, users=60))
READ, WRITE = {"X-Api-Key": "read"}, {"X-Api-Key": "write"}
FILTERS = {"source": "facebook", "from": "2024-06-16T00:00:00Z", "to": "2024-06-19T00:00:00Z"}
REPORTS = ("overview", "timeseries", "funnel", "countries", "campaigns", "revenue", "demographics")


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with analytics(
        postgres, migrated_template, folder, SECRETS_DIR=analytics_keys(folder / "secrets")
    ) as function:
        store(function.owner_url, EVENTS)
        yield function


def make(live: Analytics, filters: dict[str, str], **more: Any) -> dict[str, Any]:
    body = {"name": "Agency", "filters": filters, **more}
    answer = live.client.post("/analytics/shares", headers=WRITE, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(live: Analytics, token: str, path: str, **params: Any) -> httpx.Response:
    headers = {"X-Share-Token": token}
    return live.client.get(f"/analytics/{path}", headers=headers, params=params)


def by_key(live: Analytics, path: str, **params: Any) -> dict[str, Any]:
    answer = live.client.get(f"/analytics/{path}", headers=READ, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_report_has_the_filters_of_the_link(live: Analytics) -> None:
    token = make(live, FILTERS)["token"]
    for name in REPORTS:
        expected = by_key(live, name, **FILTERS, countryOf="event")
        if "leftOut" in expected:  # what the filters do not let through
            expected["leftOut"] = None
        for asked in (
            {},
            {"source": "facebook"},
            {"from": "2020-01-01", "to": "2030-01-01", "countryOf": "user"},
        ):
            answer = ask(live, token, name, **asked)
            assert answer.status_code == 200, answer.text
            assert answer.json() == expected, (name, asked)
    narrower = {"from": "2024-06-17T05:00:00Z", "country": "US"}
    assert (
        ask(live, token, "overview", **narrower).json()["totals"]
        == (by_key(live, "overview", **(FILTERS | narrower), countryOf="event")["totals"])
    )
    assert by_key(live, "overview")["totals"]["events"] > 400
    for outside in ({"to": "2024-06-16"}, {"from": "2024-06-19"}, {"from": "2024-06-20"}):
        answer = ask(live, token, "overview", **outside).json()
        assert answer["totals"]["events"] == 0
        assert FILTERS["from"] <= answer["from"] <= answer["to"] <= FILTERS["to"]
    mine = ask(live, token, "share").json()
    assert (mine["name"], mine["filters"]) == ("Agency", FILTERS)


def test_what_a_filter_leaves_out_is_not_told(live: Analytics) -> None:
    campaign = make(live, {"campaignId": "campaign-01"})["token"]
    assert by_key(live, "overview", campaignId="campaign-01")["leftOut"] is not None
    for name in ("overview", "funnel"):
        assert ask(live, campaign, name).json()["leftOut"] is None


@pytest.mark.parametrize(
    "question",
    [
        ("overview", {"source": "tiktok"}),
        ("overview", {"filter": "userId:is:fb-user-1"}),
        ("breakdown", {"by": "userId"}),
        ("properties", {}),
        ("timeseries", {"source": "tiktok", "split": "country"}),
        *((name, {}) for name in ("events", "users", "retention", "live", "spend")),
        ("steps", {"steps": "ad.view,ad.click"}),
        ("views", {}),
        ("annotations", {}),
        ("shares", {}),
        ("alerts", {}),
        ("events", {"format": "csv"}),
    ],
    ids=str,
)
def test_nothing_else_is_answered(live: Analytics, question: tuple[str, dict[str, str]]) -> None:
    token = make(live, FILTERS)["token"]
    name, params = question
    assert ask(live, token, name, **params).status_code == 403
    # nor with a key beside it: the link limits who shows it
    headers = {"X-Share-Token": token, **WRITE}
    answer = live.client.get(f"/analytics/{name}", headers=headers, params=params)
    assert answer.status_code == 403


def test_a_link_writes_nothing(live: Analytics) -> None:
    made = make(live, FILTERS)
    headers = {"X-Share-Token": made["token"]}
    revoke = ("DELETE", f"shares?id={made['id']}")
    for method, path in (
        ("POST", "views"),
        ("POST", "annotations"),
        ("POST", "shares"),
        ("POST", "alerts"),
        ("POST", "alerts/test"),
        ("PUT", "spend"),
        revoke,
    ):
        answer = live.client.request(method, f"/analytics/{path}", headers=headers)
        assert answer.status_code == 401
    assert live.client.post("/analytics/shares", headers=READ, json={}).status_code == 403


def test_a_link_that_is_changed_revoked_or_over_is_refused(live: Analytics) -> None:
    made, other = make(live, FILTERS), make(live, {"source": "tiktok"})
    token: str = made["token"]
    identity, _, signature = token.rpartition(".")
    changed = (
        "",
        "x",
        identity,
        f"{identity}.",
        f"{identity}.{'A' * len(signature)}",
        f"{other['token'].rpartition('.')[0]}.{signature}",
        f'"{made["id"]}".{signature}',
        made["id"],
        token + "A",
        f"{identity}.{'B' if signature.startswith('A') else 'A'}{signature[1:]}",
    )
    for each in changed:
        refused = ask(live, each, "overview")
        assert refused.status_code == 403, each
        assert "not valid" in refused.json()["detail"]
    assert ask(live, token, "overview").status_code == 200
    assert token not in live.client.get("/analytics/shares", headers=READ).text

    revoked = live.client.delete(f"/analytics/shares?id={made['id']}", headers=WRITE)
    assert revoked.json() == {"id": made["id"]}
    assert ask(live, token, "overview").status_code == 403
    assert ask(live, other["token"], "overview").status_code == 200
    with psycopg.connect(live.owner_url) as owner:
        owner.execute("UPDATE workspace.shares SET expires_at = now() WHERE id = %s", [other["id"]])
    assert ask(live, other["token"], "overview").status_code == 403
    last = make(live, FILTERS)
    with psycopg.connect(live.owner_url) as owner:
        owner.execute("DELETE FROM workspace.share_secret")
    assert ask(live, last["token"], "overview").status_code == 403
    fresh = make(live, FILTERS)
    assert ask(live, fresh["token"], "overview").status_code == 200
    assert ask(live, last["token"], "overview").status_code == 403, "signed with another secret"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"filters": {"surprise": "x"}}, "filters.surprise"),
        ({"filters": {"source": "myspace"}}, "filters.source"),
        ({"filters": {"filter": ["device:is:mobile"]}}, "filters.filter"),
        ({"days": 0}, "days"),
        ({"days": 10_000}, "days"),
        ({"name": ""}, "name"),
    ],
)
def test_a_link_that_could_not_be_held_to_is_not_made(
    live: Analytics, change: dict[str, Any], wrong: str
) -> None:
    body = {"name": "a", "filters": {}} | change
    answer = live.client.post("/analytics/shares", headers=WRITE, json=body)
    assert answer.status_code == 422
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [wrong]
