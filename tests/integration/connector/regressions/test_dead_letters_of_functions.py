"""A dead letter belongs to one function: it hides no other, and replay reaches that one alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from infra.connector.dlq.command import dlq
from infra.connector.dlq.store import READ_AHEAD_MESSAGES, DeadLetterFilter, DeadLetterStore
from tests.support.commands import invoke
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import backlog, dead_letters, event, publish
from tests.support.net import eventually, wait_until


@pytest.fixture
async def fan(nc: Client) -> JetStreamContext:
    """A stream that two functions share: each has to be done with a message before it goes."""
    js = nc.jetstream()
    await js.add_stream(
        StreamConfig(name="FAN", subjects=["fan.>"], retention=RetentionPolicy.INTEREST)
    )
    return js


@pytest.fixture
def two(
    fan: JetStreamContext, nats_url: str, tmp_path: Path
) -> Iterator[tuple[FakeFunction, FakeFunction, ConnectorProcess]]:
    """Two functions on that stream, and the connector."""
    with (
        FakeFunction(tmp_path, "fa").start().ready() as fa,
        FakeFunction(tmp_path, "fb").start().ready() as fb,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url) as connector,
    ):
        gateway.serve(
            subscribed("fa", fa, "fan.>", batch_size="10"),
            subscribed("fb", fb, "fan.>", batch_size="10"),
        )
        connector.start().bound(2)
        yield fa, fb, connector


def run(nats_url: str, *arguments: str) -> str:
    """Run the command `dlq` on the dead letters of FAN, and return what it prints."""
    command, *rest = arguments
    ended = invoke(dlq, command, "--stream", "FAN_DLQ", *rest, environment={"NATS_URL": nats_url})
    assert ended.exit_code == 0, ended.output
    return ended.stdout


async def letters_are(js: JetStreamContext, *functions: str) -> list[Any]:
    """Wait until the queue holds the dead letters of these functions, and return them."""

    async def there() -> bool:
        return await backlog(js, "FAN_DLQ") == len(functions)

    await eventually(there)
    letters = await dead_letters(js, "FAN_DLQ") if functions else []
    assert sorted(letter.headers["Dlq-Function"] for letter in letters) == sorted(functions)
    return letters


async def test_two_functions_leave_a_dead_letter_each(
    fan: JetStreamContext,
    two: tuple[FakeFunction, FakeFunction, ConnectorProcess],
    nats_url: str,
) -> None:
    fa, fb, _ = two
    for function in (fa, fb):
        function.mode(status=422)
    await publish(fan, event("a"), subject="fan.x")
    letters = await letters_are(fan, "fa", "fb")
    assert {letter.headers["Dlq-Consumer"] for letter in letters} == {"fa", "fb"}
    lines = run(nats_url, "list", "--json", "--function", "fb").splitlines()
    [of_fb] = map(json.loads, lines)
    assert of_fb["function"] == "fb"
    shown = run(nats_url, "show", str(of_fb["id"]), "--function", "fb")
    assert "Dlq-Consumer" in shown
    other = ("show", "--stream", "FAN_DLQ", str(of_fb["id"]), "--function", "fa")
    assert invoke(dlq, *other, environment={"NATS_URL": nats_url}).exit_code == 1
    assert "fa" in run(nats_url, "list")


async def test_a_purged_dead_letter_of_one_function_does_not_swallow_that_of_another(
    fan: JetStreamContext,
    two: tuple[FakeFunction, FakeFunction, ConnectorProcess],
    nats_url: str,
) -> None:
    fa, fb, _ = two
    fa.mode(status=422)
    fb.mode(status=503)
    await publish(fan, event("a"), subject="fan.x")
    await letters_are(fan, "fa")
    assert "1 deleted" in run(nats_url, "purge", "--function", "fa", "--yes")
    fb.mode(status=422)
    await letters_are(fan, "fb")


async def test_replay_reaches_the_function_that_failed_alone(
    fan: JetStreamContext,
    two: tuple[FakeFunction, FakeFunction, ConnectorProcess],
    nats_url: str,
) -> None:
    fa, fb, connector = two
    fb.mode(status=422)
    payload = b'{"eventId":  "a",  "n": 1.10}'
    await fan.publish("fan.x.y", payload, headers={"X-Call-Id": "mine"})
    for name in "bc":
        await publish(fan, event(name), subject="fan.z")
    await letters_are(fan, "fb", "fb", "fb")
    wait_until(lambda: sorted(fa.done()) == ["a", "b", "c"])

    # it fails once more: the dead letter comes back as it was
    assert "1 replayed" in run(nats_url, "replay", "--function", "fb", "--event-id", "a")
    again = (await letters_are(fan, "fb", "fb", "fb"))[-1]
    assert again.data == payload
    assert again.subject.endswith("fan.x.y")
    kept = {name: again.headers[name] for name in ("Dlq-Stream", "Dlq-Sequence", "Dlq-Subject")}
    assert kept == {"Dlq-Stream": "FAN", "Dlq-Sequence": "1", "Dlq-Subject": "fan.x.y"}
    assert again.headers["X-Call-Id"] == "mine"

    fb.mode()
    assert "0 replayed" in run(nats_url, "replay", "--function", "fa")
    assert "3 replayed" in run(nats_url, "replay", "--function", "fb", "--rate", "100")
    wait_until(lambda: sorted(fb.done()) == ["a", "b", "c"])
    request = next(r for r in fb.requests() if payload.decode() in r["body"] and r["time"])
    first = json.loads(request["body"])[0]
    assert (first["subject"], first["callid"]) == ("fan.x.y", "mine")
    await publish(fan, event("last"), subject="fan.z")
    wait_until(lambda: "last" in fa.done() and "last" in fb.done())
    assert sorted(fa.done()) == ["a", "b", "c", "last"], "nothing was replayed to this one"
    await letters_are(fan)
    # what was drained is closed again
    wait_until(lambda: {b["stream"] for b in connector.state()["bindings"]} == {"FAN"})


async def test_replay_into_the_stream_reaches_all(
    fan: JetStreamContext,
    two: tuple[FakeFunction, FakeFunction, ConnectorProcess],
    nats_url: str,
) -> None:
    fa, fb, _ = two
    fb.mode(status=422)
    await publish(fan, event("a"), subject="fan.x")
    await letters_are(fan, "fb")
    fb.mode()
    assert "1 replayed" in run(nats_url, "replay", "--all", "--to-stream")
    wait_until(lambda: fb.done() == ["a"] and fa.done() == ["a", "a"])


async def test_a_reader_that_is_slow_reads_all(nc: Client, nats_url: str) -> None:
    """The server removes the consumer of a replay that is held back; the replay goes on."""
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="FAN_DLQ", subjects=["dlq.>"]))
    for number in range(READ_AHEAD_MESSAGES + 10):
        await js.publish("dlq.fan", f"{number}".encode())
    found = [0]
    async for letter in DeadLetterStore(nc, js, "FAN_DLQ").read(DeadLetterFilter()):
        assert letter
        if letter.sequence == READ_AHEAD_MESSAGES:
            for consumer in await js.consumers_info("FAN_DLQ"):
                await js.delete_consumer("FAN_DLQ", consumer.name)
        found.append(letter.sequence)
    assert found == list(range(READ_AHEAD_MESSAGES + 11))
