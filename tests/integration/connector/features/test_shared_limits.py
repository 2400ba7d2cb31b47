"""How many calls run at the same time, of one connector and of several."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from infra.connector.delivery.shared_limits import BURST_SECONDS
from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import drained, event, publish
from tests.support.net import wait_until

PATIENT = {"SCALE_INTERVAL": "1s"}
"""They forget each other after three silent intervals: on a busy machine, not too soon."""

LIMITED = {**PATIENT, "DELIVERY": "single", "NATS_MAX_CONCURRENCY": "3"}


@pytest.mark.parametrize(
    "headers", [{}, pytest.param({"Retry-After": "1"}, marks=pytest.mark.slow)]
)
@pytest.mark.slow
async def test_few_calls_are_refused(
    headers: dict[str, str],
    js: JetStreamContext,
    function: FakeFunction,
    nats_url: str,
    tmp_path: Path,
) -> None:
    """A function that takes two calls at once gets few more than two."""
    number = 200
    await publish(js, *(event(f"{n}") for n in range(number)))
    function.mode(takes=2, delay=0.03, headers=headers)
    settings = {"DELIVERY": "single", "NATS_CONCURRENCY": "8"}
    with connector_to(function, tmp_path, nats_url, **settings) as connector:
        await drained(js)
        assert sorted(function.done()) == sorted(f"{n}" for n in range(number))
        assert 0 < function.refused() < 50
        assert connector.metrics()["done_messages_total"] == number
        (binding,) = connector.bindings()
        assert binding["concurrencyLimit"] in range(1, 4)
        assert any("HTTP 429" in sentence for sentence in binding["explanation"])


async def test_connectors_share_a_limit(
    js: JetStreamContext, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    """Three calls at once, of one connector, two, and after a kill."""
    settings = {**LIMITED, "NATS_CONCURRENCY": "4"}
    function.mode(delay=0.05)
    with ExitStack() as stack:

        def start(name: str) -> ConnectorProcess:
            return stack.enter_context(connector_to(function, tmp_path, nats_url, name, **settings))

        def part(connector: ConnectorProcess) -> int | None:
            return connector.bindings()[0]["ownPart"]

        one = start("one")
        await publish(js, *(event(f"a{n}") for n in range(40)))
        two = start("two")  # while the first one is busy
        wait_until(lambda: (part(one), part(two)) == (2, 1))
        await publish(js, *(event(f"b{n}") for n in range(40)))
        await drained(js)
        assert two.metrics()["done_messages_total"] > 0
        (binding,) = two.bindings()
        assert binding["maxConcurrency"] == 3
        text = "at most 3 calls of all connectors run at the same time, 1 of them here"
        assert text in binding["explanation"]
        one.kill()
        wait_until(lambda: part(two) == 3)
        await publish(js, *(event(f"c{n}") for n in range(20)))
        await drained(js)
        assert max(call["inflight"] for call in function.requests()) == 3
        assert len(set(function.done())) == 100


@pytest.mark.slow
async def test_connectors_share_a_rate(
    js: JetStreamContext, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    """60 messages at 50 a second take a second, batches and two connectors or not."""
    settings = {**PATIENT, "NATS_RATE": "50", "NATS_BATCH_SIZE": "1000"}
    with ExitStack() as stack:
        both = [
            stack.enter_context(connector_to(function, tmp_path, nats_url, name, **settings))
            for name in ("one", "two")
        ]
        for connector in both:
            wait_until(
                lambda connector=connector: connector.state()["bindings"][0]["connectors"] == 2
            )
        await asyncio.gather(*(publish(js, event(f"{n}")) for n in range(85)))
        await drained(js)
        times = [call["time"] for call in function.requests()]
        # 25 may come at once, as the first batch of each connector, and some a bit too soon
        at_once = 2 * 25 + BURST_SECONDS * 50
        assert max(times) - min(times) > (85 - at_once) / 50 * 0.95
        assert all(len(call["ids"]) <= 25 for call in function.requests())


@pytest.mark.slow
async def test_the_limit_holds_while_connectors_come_and_go(
    js: JetStreamContext, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    function.mode(delay=0.03)
    number = 400
    await publish(js, *(event(f"{n}") for n in range(number)))
    with ExitStack() as stack:

        def start(name: str) -> ConnectorProcess:
            return stack.enter_context(connector_to(function, tmp_path, nats_url, name, **LIMITED))

        def called(calls: int) -> None:
            wait_until(lambda: len(function.calls()) >= calls)

        connectors = [start("a"), start("b"), start("c")]
        called(60)
        connectors[0].kill()
        called(120)
        connectors.append(start("d"))
        called(180)
        assert connectors[1].stop() == 0
        called(240)
        start("e")
        await drained(js)
        # a connector that was killed may have sent half a request, too
        assert {f"{n}" for n in range(number)} <= set(function.done())
        assert max(call["inflight"] for call in function.requests()) == 3
        for each in connectors[2:]:
            assert each.metrics()["done_messages_total"] > 0
