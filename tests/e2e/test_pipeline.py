"""From HTTP to reports: every figure equals the same figure computed from what was sent."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import nats
import pytest

from infra.cli.load.event_generator import Event, Generated, Mix, generate
from infra.cli.stream_state import dead_letters_by_reason
from infra.local import state_dir
from tests.support import oracle
from tests.support.mail import Mailbox
from tests.support.net import plain_http, wait_until
from tests.support.oracle import Fact
from tests.support.platform import RunningPlatform

MIX = Mix(duplicates=0.05, invalid=0.02, days=3)


@pytest.fixture(scope="module")
def sent(up: RunningPlatform) -> list[Generated]:
    """Send 3,000 events in requests of 300, every second one again, and wait for the end."""
    generated = list(generate(3000, seed=11, mix=MIX))
    for start in range(0, len(generated), 300):
        events = [each.event for each in generated[start : start + 300]]
        for _ in range(1 + start // 300 % 2):
            answer = plain_http.post(up.ingest, json=events, timeout=60)
            assert answer.status_code == 202, answer.text
            invalid = [
                n for n, each in enumerate(generated[start : start + 300]) if each.kind == "invalid"
            ]
            assert [each["index"] for each in answer.json()["rejected"]] == invalid
            assert answer.json()["accepted"] == len(events) - len(invalid)
    up.wait_until_processed()
    return generated


@pytest.fixture(scope="module")
def expected(sent: list[Generated]) -> list[Fact]:
    return oracle.facts(each.event for each in sent if each.kind != "invalid")


def sums_by(facts: list[Fact], key: Callable[[Fact], Any]) -> dict[Any, tuple[int, Decimal]]:
    """Return the number of events and their revenue by a key."""
    groups = oracle.grouped(facts, key).items()
    return {value: (len(group), oracle.amount(group)) for value, group in groups}


def counts_by(facts: list[Fact], key: Callable[[Fact], Any]) -> dict[Any, int]:
    """Return the number of events by a key."""
    return {value: len(group) for value, group in oracle.grouped(facts, key).items()}


def users_of(facts: list[Fact]) -> set[tuple[str, str]]:
    return {(fact.source, fact.userId) for fact in facts}


def invalid(sent: list[Generated]) -> list[Event]:
    return [each.event for each in sent if each.kind == "invalid"]


def test_each_event_is_stored_once(up: RunningPlatform, expected: list[Fact]) -> None:
    assert up.status()["rowsStored"] == len(expected)


def test_overview(up: RunningPlatform, expected: list[Fact]) -> None:
    answer = up.report("overview", exact="true")
    totals = answer["totals"]
    assert totals["events"] == len(expected)
    assert Decimal(totals["revenue"]) == oracle.amount(expected)
    assert totals["uniqueUsers"] == len(users_of(expected))
    assert datetime.fromisoformat(totals["firstEvent"]) == min(fact.at for fact in expected)
    assert datetime.fromisoformat(totals["lastEvent"]) == max(fact.at for fact in expected)
    assert {
        row["source"]: (row["events"], Decimal(row["revenue"])) for row in answer["bySource"]
    } == sums_by(expected, lambda fact: fact.source)
    assert {row["funnelStage"]: row["events"] for row in answer["byFunnelStage"]} == counts_by(
        expected, lambda fact: fact.funnelStage
    )
    assert {
        (row["source"], row["eventType"]): (row["events"], Decimal(row["revenue"]))
        for row in answer["byEventType"]
    } == sums_by(expected, lambda fact: (fact.source, fact.eventType))


def test_unique_users_are_within_the_bound_that_the_answer_states(
    up: RunningPlatform, expected: list[Fact]
) -> None:
    totals = up.report("overview")["totals"]
    accuracy = totals["uniqueUsersAccuracy"]
    assert accuracy["lower"] <= len(users_of(expected)) <= accuracy["upper"]


@pytest.mark.parametrize("hours", [1, 24])
def test_timeseries(up: RunningPlatform, expected: list[Fact], hours: int) -> None:
    interval = {1: "hour", 24: "day"}[hours]
    answer = up.report("timeseries", interval=interval)
    wanted = sums_by(expected, lambda fact: oracle.start_of(fact.at, interval))
    points = [point for series in answer["series"] for point in series["points"]]
    found = {
        datetime.fromisoformat(point["time"]): (point["events"], Decimal(point["revenue"]))
        for point in points
        if point["events"]
    }
    assert found == wanted


def test_funnel(up: RunningPlatform, expected: list[Fact]) -> None:
    answer = up.report("funnel")
    assert (answer["top"], answer["bottom"]) == oracle.stages(expected)
    assert answer["clickThroughRate"] == pytest.approx(answer["bottom"] / answer["top"], abs=1e-6)
    assert {
        (row["source"], stage): row[stage]
        for row in answer["bySource"]
        for stage in ("top", "bottom")
    } == counts_by(expected, lambda fact: (fact.source, fact.funnelStage))


def test_countries(up: RunningPlatform, expected: list[Fact]) -> None:
    answer = up.report("countries", limit="100")
    assert {
        row["country"]: (row["events"], Decimal(row["revenue"])) for row in answer["items"]
    } == sums_by([fact for fact in expected if fact.country is not None], lambda fact: fact.country)


def test_a_range_and_a_filter(up: RunningPlatform, expected: list[Fact]) -> None:
    to = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=20)
    start = to - timedelta(hours=20)
    inside = [fact for fact in expected if fact.source == "tiktok" and start <= fact.at < to]
    answer = up.report(
        "overview", **{"from": start.isoformat(), "to": to.isoformat(), "source": "tiktok"}
    )
    assert answer["totals"]["events"] == len(inside) > 0
    assert Decimal(answer["totals"]["revenue"]) == oracle.amount(inside)


async def test_invalid_events_are_dead_letters_with_a_reason(
    up: RunningPlatform, sent: list[Generated]
) -> None:
    nc = await nats.connect(state_dir.read_secret(up.state_dir, "nats-url"))
    try:
        reasons = await dead_letters_by_reason(nc, nc.jetstream())
    finally:
        await nc.close()
    # what was sent twice within two minutes is there once
    assert sum(reasons.values()) == len({json.dumps(event) for event in invalid(sent)})
    assert "timestamp: Field required" in reasons
    assert all(":" in reason for reason in reasons)


def test_a_request_can_be_followed_by_its_call_id(
    up: RunningPlatform, sent: list[Generated]
) -> None:
    event = sent[0].event | {"eventId": "followed"}
    before = up.report("overview")["totals"]["events"]
    # as a user's curl sends it, which says x-www-form-urlencoded
    done = subprocess.run(
        ["curl", "-s", "-i", "-d", "@-", up.ingest],
        input=json.dumps(event),
        text=True,
        capture_output=True,
        check=True,
    )
    assert " 202 " in done.stdout.splitlines()[0]
    headers = dict(
        line.lower().split(": ", 1) for line in done.stdout.splitlines() if ": " in line[:40]
    )
    call_id = headers["x-call-id"]
    wait_until(lambda: up.report("overview")["totals"]["events"] == before + 1, 30)
    logs = up.state_dir / "logs" / "process-batch"

    def logged() -> bool:
        lines = "".join(file.read_text() for file in logs.glob("*.log"))
        return call_id in lines

    wait_until(logged, 10)


def test_functions_go_to_zero_and_come_back(up: RunningPlatform, sent: list[Generated]) -> None:
    def at_zero() -> bool:
        return all(each["replicas"] == 0 for each in up.status()["functions"])

    wait_until(at_zero, 60, every=0.5)
    wait_until(lambda: not up.replicas("ingest") + up.replicas("process-batch"), 30)
    stored = up.status()["rowsStored"]
    event = sent[0].event | {"eventId": "from-zero"}
    answer = plain_http.post(up.ingest, json=event, timeout=60)
    assert answer.status_code == 202
    before = len({each.event["eventId"] for each in sent if each.kind != "invalid"})
    wait_until(lambda: up.report("overview")["totals"]["events"] >= before + 1, 60)
    wait_until(lambda: up.status()["rowsStored"] == stored + 1, 60)


@pytest.mark.slow
def test_alerts_are_sent_when_they_are_due(up: RunningPlatform, mailbox: Mailbox) -> None:
    """By the platform, and by the commands beside it."""
    rule = {"kind": "figure", "figure": "revenue", "condition": "below", "value": "1000000000"}
    body = {"name": "Too little", "rule": rule, "emails": ["a@example.com"]}
    alerts = f"{up.gateway}/function/analytics-query/analytics/alerts"
    assert plain_http.post(alerts, json=body, timeout=60).is_success
    wait_until(lambda: mailbox.subjects() == ["Alert: Too little"], 90)
    assert f"{up.gateway}/function/analytics-query/?from=" in mailbox.text()
    log = up.state_dir / "logs/alerts.log"
    wait_until(lambda: "Too little: sent\n" in log.read_text(), 30)
    seen = up.run("alerts", "check", "--dry-run")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "It fires." in seen.stdout
    tried = up.run("alerts", "test", "Too little")
    assert (tried.returncode, tried.stdout) == (0, "Too little: sent\n")
    assert mailbox.subjects() == ["Alert: Too little", "Test: Too little"]
    refused = up.run("alerts", "test", "Too much")
    assert (refused.returncode, refused.stderr) == (1, "there is no alert 'Too much'\n")


@pytest.mark.slow
def test_killing_replicas_loses_and_doubles_nothing(up: RunningPlatform) -> None:
    before = up.wait_until_processed()["rowsStored"]
    generated = list(generate(8000, seed=77, mix=Mix(days=1)))
    killed = 0
    for start in range(0, len(generated), 250):
        events = [each.event for each in generated[start : start + 250]]
        answer = plain_http.post(up.ingest, json=events, timeout=60)
        assert answer.status_code == 202
        if start % 1000 == 0:
            for pid in up.replicas("process-batch"):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    status = up.wait_until_processed()
    assert killed > 0
    assert status["rowsStored"] == before + len(generated)


@pytest.mark.slow
def test_data_survives_a_restart(up: RunningPlatform, e2e_folder: Path) -> None:
    # exact: an estimate may change when deltas that wait are folded, as they are at the end
    before = up.report("overview", exact="true")["totals"]
    assert up.stop() == 0
    assert wait_until(lambda: not up.processes(), 15)
    up.start()
    assert up.report("overview", exact="true")["totals"] == before
    assert Counter(each["name"] for each in up.status()["functions"]).keys() == {
        "ingest",
        "process-batch",
        "analytics-query",
    }
