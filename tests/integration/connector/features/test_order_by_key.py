"""Order by key: `jetstream.order-by`."""

import json
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import backlog, dead_letters, event, publish
from tests.support.net import eventually, wait_until


@pytest.fixture
async def keys(nc: Client) -> JetStreamContext:
    """JetStream with the work queue KEYS."""
    js = nc.jetstream()
    config = StreamConfig(name="KEYS", subjects=["keys.>"], retention=RetentionPolicy.WORK_QUEUE)
    await js.add_stream(config)
    return js


def check_order(
    entries: list[dict[str, Any]], lanes: dict[int, str], dead: Collection[int] = ()
) -> set[int]:
    """Check that no message was invoked before the earlier ones of its key had succeeded.

    What the function did with a message after an earlier one of its key had failed in the same call
    does not count: it is told so by the key.

    Args:
        entries: the function's journal.
        lanes: the key of each message, by its sequence.
        dead: those that were dead-lettered, at whatever time.

    Returns:
        The sequences that succeeded.
    """
    open_ones: dict[str, list[int]] = defaultdict(list)
    for sequence, key in sorted(lanes.items(), reverse=True):
        if sequence not in dead:
            open_ones[key].append(sequence)
    settled: set[int] = set()
    calls: dict[int, set[int]] = {}
    for entry in entries:
        if "ids" in entry:
            call = {sequence_of(name) for name in entry["ids"]}
            for sequence in call:
                calls[sequence] = call
                rest = open_ones[lanes[sequence]]
                early = [each for each in reversed(rest) if each < sequence and each not in call]
                assert not early, f"{sequence} of {lanes[sequence]} before {early}"
        done = {sequence_of(name) for name in entry.get("done", ())}
        for sequence in sorted(done):
            same = {each for each in calls[sequence] if lanes[each] == lanes[sequence]}
            if all(each in done or each in dead for each in same if each < sequence):
                settled.add(sequence)
                rest = open_ones[lanes[sequence]]
                while rest and rest[-1] in settled:
                    rest.pop()
    return settled


def sequence_of(name: str) -> int:
    return int(name.split(":")[1].split("/", maxsplit=1)[0])


def order_of(connector: ConnectorProcess) -> dict[str, Any]:
    """Return what /bindings says of the order of the only binding."""
    return next((b["order"] for b in connector.state().get("bindings", ())), None) or {}


async def emptied(js: JetStreamContext, seconds: float = 60) -> None:
    """Wait until no message is left in the stream KEYS."""

    async def is_empty() -> bool:
        return await backlog(js, "KEYS") == 0

    await eventually(is_empty, seconds)


async def publish_in_order(
    js: JetStreamContext, lanes: dict[int, str], troubles: Sequence[str], *, by_subject: bool = True
) -> None:
    """Publish a message of a key for each sequence; the key is its subject, or not even a part."""
    chance = random.Random(7)
    for sequence, key in lanes.items():
        found = event(f"{sequence}", chance.choice(troubles), lane={"name": key})
        subject = f"keys.{key}" if by_subject else "keys.all"
        await js.publish(subject, json.dumps(found).encode(), headers={"lane": key})


def fn(function: FakeFunction, **options: str) -> dict[str, Any]:
    return subscribed("fn", function, "keys.>", order_by="subject", **options)


@pytest.mark.slow
async def test_a_failing_key_holds_up_only_itself(
    keys: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
) -> None:
    """Also when so much of it waits that it would take all room."""
    backlog_of_a = 200
    lanes = dict.fromkeys(range(1, backlog_of_a + 1), "a")
    await publish(keys, event("1", "once:retry:9"), subject="keys.a")
    await publish_in_order(keys, {n: "a" for n in lanes if n > 1}, [""])
    for number in range(1, 20):
        lanes[backlog_of_a + number] = "b"
        do = "dead-message" if number == 3 else ""
        await publish(keys, event(f"b{number}", do), subject="keys.b")
    gateway.serve(fn(function, batch_size="1", concurrency="2", max_deliver="3"))
    wait_until(lambda: len(function.done()) >= 18)
    assert all(name.startswith("b") for name in function.done())
    state = order_of(connector)
    assert (state["by"], state["here"], state["someHeldKeys"]) == ("subject", True, ["keys.a"])
    metrics = connector.metrics()
    assert metrics["order_held_keys"] == metrics["order_owner_state"] == metrics["order_keys"] == 1
    assert metrics["order_returned_messages"] > 100
    text = "\n".join(connector.bindings()[0]["explanation"])
    assert "1 keys wait since their first message failed: keys.a; the others go on" in text
    assert "messages that have to wait are in the stream again meanwhile" in text
    await emptied(keys)
    dead = {backlog_of_a + 3}
    assert check_order(function.entries(), lanes, dead) == lanes.keys() - dead
    (letter,) = await dead_letters(keys, "KEYS_DLQ")
    assert letter.headers["Dlq-Order-Key"] == "keys.b"


@pytest.mark.parametrize(
    "order_by",
    [
        "subject",
        pytest.param("header:Lane", marks=pytest.mark.slow),
        pytest.param("json:/lane/name", marks=pytest.mark.slow),
    ],
)
async def test_a_batch_keeps_order_in_whatever_way_it_fails(
    order_by: str,
    keys: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
) -> None:
    lanes = {n: "abc"[n % 3] for n in range(1, 121)}
    troubles = [*[""] * 20, "once:retry", "once:retry:0.3", "once:status:500", "once:status:422"]
    await publish_in_order(
        keys, lanes, [*troubles, "dead-message"], by_subject=order_by == "subject"
    )
    options = {"order_by": order_by, "batch_size": "30", "max_deliver": "100"}
    gateway.serve(subscribed("fn", function, "keys.>", **options))
    await emptied(keys)
    letters = await dead_letters(keys, "KEYS_DLQ")
    dead = {int(letter.headers["Dlq-Sequence"]) for letter in letters}
    assert dead
    beginning = "keys." if order_by == "subject" else ""
    of_keys = {letter.headers["Dlq-Order-Key"] for letter in letters}
    assert of_keys <= {f"{beginning}{key}" for key in "abc"}
    assert check_order(function.entries(), lanes, dead) | dead == lanes.keys()
    assert any(len(call) > 6 for call in function.calls()), "a batch holds several of a key"


async def run_and_kill(
    js: JetStreamContext, nats_url: str, folder: Path, messages: int, number: int
) -> None:
    """Let one of two connectors, which delivers, be killed meanwhile."""
    chance = random.Random(3)
    lanes = {n: f"{chance.randrange(number)}" for n in range(1, messages + 1)}
    troubles = [*[""] * 9, "once:retry", "once:retry:0.2"]
    await publish_in_order(js, lanes, troubles)
    settings = {
        "TOPICS": "keys.>",
        "NATS_ORDER_BY": "subject-token-2",
        "NATS_BATCH_SIZE": "20",
        "NATS_MAX_DELIVER": "100",
        "FUNCTION_TIMEOUT": "2s",
    }
    with ExitStack() as stack:
        function = stack.enter_context(FakeFunction(folder).start().ready())
        function.mode(delay=0.02)
        one, two = (
            stack.enter_context(
                ConnectorProcess(folder, nats_url, name, FUNCTION_URL=function.url, **settings)
            ).start()
            for name in ("one", "two")
        )
        wait_until(lambda: len(function.done()) > messages // 4)
        owner, other = (one, two) if order_of(one).get("here") else (two, one)
        owner.kill()
        await emptied(js, 240)
        assert order_of(other)["here"]
        assert len(function.done()) >= messages
    assert check_order(function.entries(), lanes) == lanes.keys()


@pytest.mark.slow
async def test_a_connector_that_is_killed(
    keys: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    await run_and_kill(keys, nats_url, tmp_path, 500, 20)


@pytest.mark.slow
async def test_ten_thousand_messages_of_a_hundred_keys(
    keys: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    await run_and_kill(keys, nats_url, tmp_path, 10_000, 100)


@pytest.mark.slow
async def test_a_connector_that_stops_hands_over(
    keys: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """Had it to be waited for, that would take longer than this waits."""
    lanes = {n: f"{n % 5}" for n in range(1, 301)}
    await publish_in_order(keys, lanes, [""])
    settings = {"TOPICS": "keys.>", "NATS_ORDER_BY": "subject", "NATS_BATCH_SIZE": "5"}
    patience = {"NATS_ACK_WAIT": "300s", "FUNCTION_TIMEOUT": "300s", "FUNCTION_NAME": "fn"}
    with ExitStack() as stack:
        function = stack.enter_context(FakeFunction(tmp_path).start().ready())
        function.mode(delay=0.05)
        one, two = (
            stack.enter_context(
                ConnectorProcess(
                    tmp_path, nats_url, name, FUNCTION_URL=function.url, **settings, **patience
                )
            )
            for name in ("one", "two")
        )
        one.start()
        wait_until(lambda: len(function.done()) > 20)
        two.start().bound()
        said = wait_until(lambda: [b["explanation"] for b in two.bindings()])
        assert "delivers, this one does not" in "\n".join(said[0])
        assert one.stop() == 0
        await emptied(keys)
        assert check_order(function.entries(), lanes) == lanes.keys()
        assert len(function.done()) == len(lanes)


@pytest.mark.slow
async def test_a_connector_that_loses_its_lease_returns_what_waits(
    keys: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    tmp_path: Path,
) -> None:
    """And goes on in order when it has it again."""

    async def own(owner: str) -> None:
        value = json.dumps({"owner": owner, "busy": 0, "seconds": 600})
        await keys.publish("$KV.connector-owners.KEYS.fn", value.encode())

    go_on = tmp_path / "go-on"
    function.mode(until=str(go_on))
    lanes = {n: "ab"[n % 2] for n in range(1, 41)}
    await publish_in_order(keys, lanes, ["", "once:retry"])
    gateway.serve(fn(function, batch_size="4", max_deliver="9"))
    wait_until(lambda: function.calls() and connector.bindings()[0]["messagesInFlight"] == 40)
    await own("another")
    wait_until(lambda: not order_of(connector)["here"])
    running = sum(map(len, function.calls()))
    wait_until(lambda: connector.bindings()[0]["messagesInFlight"] == running)
    go_on.touch()
    wait_until(lambda: connector.bindings()[0]["messagesInFlight"] == 0)
    await own("")
    await emptied(keys)
    assert check_order(function.entries(), lanes) == lanes.keys()
