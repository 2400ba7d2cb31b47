"""Dead letters on the command line: list, show, replay, purge."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from functions.common.dead_letter import dead_letter_headers
from functions.common.paths import ROOT
from infra.connector.dlq.command import console, dlq
from tests.support.commands import invoke
from tests.support.connector import connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import backlog, dead_letters, drained, event, publish
from tests.support.net import eventually
from tests.support.tied_process import TiedProcess


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make tables wide: the console read COLUMNS, which pytest-xdist sets, when it was imported."""
    monkeypatch.setattr(console, "width", 200)


def run(nats_url: str, *arguments: str, status: int = 0, text: str | None = None) -> str:
    """Run the command and return what it prints."""
    ended = invoke(dlq, *arguments, environment={"NATS_URL": nats_url}, text=text)
    assert ended.exit_code == status, ended.output
    return ended.stdout if status == 0 else ended.stderr


def run_program(nats_url: str, *arguments: str, status: int = 0) -> str:
    """Do the same with a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "infra.connector", "dlq", *arguments],
        env={**os.environ, "NATS_URL": nats_url, "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    return ended.stdout if status == 0 else ended.stderr


def listed(nats_url: str, *arguments: str) -> list[dict[str, Any]]:
    text = run(nats_url, "list", "--json", "--limit", "0", *arguments)
    return [json.loads(line) for line in text.splitlines()]


async def bury(
    js: JetStreamContext, payload: bytes, reason: str, *, name: str, **headers: str
) -> None:
    await js.publish(
        f"dlq.EVENTS.events.{name}",
        payload,
        headers={
            **headers,
            **dead_letter_headers(
                reason=reason,
                subject=f"events.{name}",
                stream="EVENTS",
                sequence=7,
                attempts=5,
                event_id="fb-1" if b"fb-1" in payload else None,
            ),
            "Nats-Msg-Id": f"dlq:{payload!r}",
        },
    )


@pytest.fixture
async def queue(js: JetStreamContext) -> JetStreamContext:
    """A queue with two dead letters of facebook and one of tiktok."""
    await bury(js, b'{"eventId": "fb-1",  "n": 1.10}', "age: [not] a number", name="facebook")
    await bury(js, b'{"eventId":"fb-2"}', "no engagement", name="facebook", Mine="x")
    await bury(js, b'[{"eventId":"tt-1"},{"eventId":"tt-2"}]', "No user", name="tiktok")
    return js


def test_help(nats_url: str) -> None:
    of_program = run_program(nats_url, "--help")
    assert "python -m infra.connector dlq" in of_program
    for command in ("list", "show", "replay", "purge"):
        assert command in of_program
        assert "--stream" in run(nats_url, command, "--help")


async def test_list(queue: JetStreamContext, nats_url: str) -> None:
    table = run(nats_url, "list")
    assert "age: [not] a number" in table
    assert "tt-1 (+1)" in table
    assert "3 dead letters" in table
    table = run(nats_url, "list", "--limit", "1")
    assert "tt-1" in table
    assert "fb-1" not in table
    assert "the latest 1 of 3 dead letters" in table
    first, second, third = listed(nats_url)
    assert (first["id"], first["attempts"], first["subject"]) == (1, 5, "events.facebook")
    assert third["eventIds"] == ["tt-1", "tt-2"]
    assert second["reason"] == "no engagement"
    summary = run(nats_url, "list", "--summary", "--json")
    assert json.loads(summary.splitlines()[0]) == {"reason": "No user", "count": 1}


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--reason", "no "], [2, 3]),
        (["--subject", "events.tiktok"], [3]),
        (["--subject", "events.*"], [1, 2, 3]),
        (["--event-id", "tt-2"], [3]),
        (["--event-id", "fb-1", "--event-id", "tt-1"], [1, 3]),
        (["--id", "2"], [2]),
        (["--id", "2", "--id", "3", "--reason", "user"], [3]),
        (["--newer-than", "1h"], [1, 2, 3]),
        (["--older-than", "1h"], []),
        (["--id", "99"], []),
    ],
)
async def test_choices(
    queue: JetStreamContext, nats_url: str, arguments: list[str], ids: list[int]
) -> None:
    assert [entry["id"] for entry in listed(nats_url, *arguments)] == ids


async def test_show(queue: JetStreamContext, nats_url: str) -> None:
    text = run(nats_url, "show", "1")
    assert "Dlq-Reason" in text
    assert "age: [not] a number" in text
    assert run(nats_url, "show", "1", "--raw") == '{"eventId": "fb-1",  "n": 1.10}'
    assert "there is no dead letter 99" in run(nats_url, "show", "99", status=1)


async def test_replay_gives_back_what_was_there(queue: JetStreamContext, nats_url: str) -> None:
    assert "2 would be replayed" in run(nats_url, "replay", "--reason", "no ", "--dry-run")
    assert await backlog(queue, "EVENTS_DLQ") == 3
    assert "1 replayed" in run(nats_url, "replay", "--id", "2")
    message = await queue.get_msg("EVENTS", 1)
    assert message.subject == "events.facebook"
    assert message.data == b'{"eventId":"fb-2"}'
    assert message.headers is not None
    assert message.headers.pop("Nats-Msg-Id").startswith("replay:EVENTS_DLQ:2:")
    assert message.headers == {"Mine": "x"}
    assert [entry["id"] for entry in listed(nats_url)] == [1, 3]
    assert "2 replayed" in run(nats_url, "replay", "--all")
    assert (await queue.get_msg("EVENTS", 2)).data == b'{"eventId": "fb-1",  "n": 1.10}'
    assert await backlog(queue, "EVENTS_DLQ") == 0
    assert "0 replayed" in run(nats_url, "replay", "--all")


async def test_nothing_is_chosen_by_accident(queue: JetStreamContext, nats_url: str) -> None:
    assert "or use --all" in run(nats_url, "replay", status=2)
    assert "or use --all" in run(nats_url, "purge", "--yes", status=2)
    assert "other selections" in run(nats_url, "purge", "--all", "--id", "1", status=2)
    assert "not a duration" in run(nats_url, "list", "--newer-than", "soon", status=2)
    assert "not a NATS subject" in run(nats_url, "list", "--subject", "a..b", status=2)
    assert await backlog(queue, "EVENTS_DLQ") == 3


async def test_what_cannot_be_replayed_stays(queue: JetStreamContext, nats_url: str) -> None:
    await queue.publish("dlq.EVENTS.events.unknown", b"{}")
    await queue.delete_stream("EVENTS")
    text = run(nats_url, "replay", "--all", status=1)
    assert "no response from stream" in text
    assert "it has no header with the subject of its original" in text
    assert "4 could not be replayed and stay in the queue" in text
    assert await backlog(queue, "EVENTS_DLQ") == 4


async def test_purge(queue: JetStreamContext, nats_url: str) -> None:
    assert "1 would be deleted" in run(nats_url, "purge", "--id", "1", "--dry-run")
    assert "Aborted" in run(nats_url, "purge", "--id", "1", status=1, text="n\n")
    assert await backlog(queue, "EVENTS_DLQ") == 3
    assert "1 deleted" in run(nats_url, "purge", "--id", "1", text="y\n")
    assert [entry["id"] for entry in listed(nats_url)] == [2, 3]
    assert "2 deleted" in run(nats_url, "purge", "--all", "--yes")
    assert listed(nats_url) == []


async def test_errors_are_one_line(nc: Client, nats_url: str) -> None:
    assert "there is no stream EVENTS_DLQ" in run(nats_url, "list", status=1)
    await nc.jetstream().add_stream(StreamConfig(name="OTHER", subjects=["o"]))
    assert run(nats_url, "list", "--stream", "OTHER", "--json") == ""
    text = run_program("nats://127.0.0.1:1", "list", status=1)
    assert text.startswith("Error: NATS does not respond at nats://127.0.0.1:1")
    assert len(text.splitlines()) == 1


@pytest.mark.slow
async def test_a_large_queue_whose_replay_is_killed_loses_nothing(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    number = 3000
    for start in range(0, number, 100):
        await asyncio.gather(
            *(
                bury(js, json.dumps(event(f"{n}")).encode(), "r", name="x")
                for n in range(start, start + 100)
            )
        )
    replay = TiedProcess(
        [sys.executable, "-m", "infra.connector", "dlq", "replay", "--all"],
        env={**os.environ, "NATS_URL": nats_url},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    async def some_are_back() -> bool:
        return await backlog(js) >= 100

    await eventually(some_are_back, every=0.01)
    replay.kill()
    replay.wait()
    left = await backlog(js, "EVENTS_DLQ")
    assert 0 < left < number
    run(nats_url, "replay", "--all")
    assert await backlog(js, "EVENTS_DLQ") == 0
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url),
    ):
        await drained(js)
        assert set(function.done()) == {str(n) for n in range(number)}
        assert len(function.done()) == number, "a repeated replay within two minutes counts once"


async def test_what_dies_again_comes_back(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        await publish(js, [event("good"), event("bad", "dead")])
        await drained(js)
        for times in (1, 2):
            assert "1 replayed" in run(nats_url, "replay", "--event-id", "bad")

            async def it_is_dead_again(times: int = times) -> bool:
                return (await js.stream_info("EVENTS_DLQ")).state.last_seq == times + 1

            await eventually(it_is_dead_again)
            (letter,) = await dead_letters(js)
            assert json.loads(letter.data) == event("bad", "dead")
            assert letter.headers["X-Call-Id"] == "call-1"
        assert function.done() == ["good"]
        assert connector.metrics()["dead_events_total"] == 3
