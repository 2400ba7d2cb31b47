"""From HTTP to reports: every figure equals the same figure computed from what was sent."""

import json
import os
import signal
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import nats
import pytest

from infra.cli.generate import Event, Generated, Mix, generate
from infra.cli.stream_state import dead_letters_by_reason
from infra.local import state_dir
from tests.support.net import plain_http, wait_until
from tests.support.platform import RunningPlatform
from tests.support.reference import Reference, reference

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
def expected(sent: list[Generated]) -> Reference:
    return reference(each.event for each in sent if each.kind != "invalid")


def invalid(sent: list[Generated]) -> list[Event]:
    return [each.event for each in sent if each.kind == "invalid"]


def test_each_event_is_stored_once(up: RunningPlatform, expected: Reference) -> None:
    assert up.status()["rowsStored"] == expected.total.events


def test_overview(up: RunningPlatform, expected: Reference) -> None:
    answer = up.report("overview", exact="true")
    totals = answer["totals"]
    assert totals["events"] == expected.total.events
    assert Decimal(totals["revenue"]) == expected.total.revenue
    assert totals["uniqueUsers"] == len(expected.users)
    assert datetime.fromisoformat(totals["firstEvent"]) == expected.first
    assert datetime.fromisoformat(totals["lastEvent"]) == expected.last
    assert {
        row["source"]: (row["events"], Decimal(row["revenue"])) for row in answer["bySource"]
    } == {source: (sums.events, sums.revenue) for source, sums in expected.by_source.items()}
    assert {
        row["funnelStage"]: row["events"] for row in answer["byFunnelStage"]
    } == expected.by_stage
    assert {
        (row["source"], row["eventType"]): (row["events"], Decimal(row["revenue"]))
        for row in answer["byEventType"]
    } == {kind: (sums.events, sums.revenue) for kind, sums in expected.by_type.items()}


def test_unique_users_are_within_the_bound_that_the_answer_states(
    up: RunningPlatform, expected: Reference
) -> None:
    totals = up.report("overview")["totals"]
    accuracy = totals["uniqueUsersAccuracy"]
    assert accuracy["lower"] <= len(expected.users) <= accuracy["upper"]


@pytest.mark.parametrize("hours", [1, 24])
def test_timeseries(up: RunningPlatform, expected: Reference, hours: int) -> None:
    interval = {1: "hour", 24: "day"}[hours]
    answer = up.report("timeseries", interval=interval)
    wanted: dict[datetime, list] = {}
    for hour, sums in expected.by_hour.items():
        bucket = wanted.setdefault(hour.replace(hour=hour.hour // hours * hours), [0, Decimal(0)])
        bucket[0] += sums.events
        bucket[1] += sums.revenue
    points = [point for series in answer["series"] for point in series["points"]]
    found = {
        datetime.fromisoformat(point["time"]): [point["events"], Decimal(point["revenue"])]
        for point in points
        if point["events"]
    }
    assert found == wanted


def test_funnel(up: RunningPlatform, expected: Reference) -> None:
    answer = up.report("funnel")
    assert (answer["top"], answer["bottom"]) == (
        expected.by_stage["top"],
        expected.by_stage["bottom"],
    )
    assert answer["conversionRate"] == pytest.approx(answer["bottom"] / answer["top"], abs=1e-6)
    assert {
        (row["source"], stage): row[stage]
        for row in answer["bySource"]
        for stage in ("top", "bottom")
    } == expected.by_source_stage


def test_countries(up: RunningPlatform, expected: Reference) -> None:
    answer = up.report("countries", limit="100")
    assert {
        row["country"]: (row["events"], Decimal(row["revenue"])) for row in answer["items"]
    } == {country: (sums.events, sums.revenue) for country, sums in expected.by_country.items()}


def test_a_range_and_a_filter(up: RunningPlatform, sent: list[Generated]) -> None:
    to = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=20)
    start = to - timedelta(hours=20)
    inside = reference(
        each.event
        for each in sent
        if each.kind != "invalid"
        and each.event["source"] == "tiktok"
        and start <= datetime.fromisoformat(each.event["timestamp"]) < to
    )
    answer = up.report(
        "overview", **{"from": start.isoformat(), "to": to.isoformat(), "source": "tiktok"}
    )
    assert answer["totals"]["events"] == inside.total.events > 0
    assert Decimal(answer["totals"]["revenue"]) == inside.total.revenue


async def test_invalid_events_are_dead_letters_with_a_reason(
    up: RunningPlatform, sent: list[Generated]
) -> None:
    nc = await nats.connect(state_dir.load_addresses(up.state_dir).nats_url)
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
    event = sent[0].event | {"eventId": "from-zero"}
    answer = plain_http.post(up.ingest, json=event, timeout=60)
    assert answer.status_code == 202
    before = len({each.event["eventId"] for each in sent if each.kind != "invalid"})
    wait_until(lambda: up.report("overview")["totals"]["events"] >= before + 1, 60)


def test_killing_replicas_loses_and_doubles_nothing(up: RunningPlatform) -> None:
    before = up.status()["rowsStored"]
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


def test_data_survives_a_restart(up: RunningPlatform, e2e_folder: Path) -> None:
    before = up.report("overview")["totals"]
    assert up.stop() == 0
    assert wait_until(lambda: not up.processes(), 15)
    up.start()
    assert up.report("overview")["totals"] == before
    assert Counter(each["name"] for each in up.status()["functions"]).keys() == {
        "ingest",
        "process-batch",
        "analytics-query",
    }
