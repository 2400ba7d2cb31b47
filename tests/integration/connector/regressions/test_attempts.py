"""`max-deliver` is what it says, over restarts and with several connectors."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig

from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import backlog, dead_letters, drained, event, publish
from tests.support.net import eventually, wait_until


def delivery_counts(function: FakeFunction) -> list[int]:
    return [e["deliverycount"] for r in function.requests() for e in json.loads(r["body"])]


async def test_restarts_forget_no_attempt(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    await publish(js, event("a", "retry"))
    with FakeFunction(tmp_path).start().ready() as function:
        for calls in (2, 3):
            with connector_to(function, tmp_path, nats_url, NATS_BACKOFF="1s") as connector:
                wait_until(lambda calls=calls: len(function.calls()) >= calls)
                if calls == 3:
                    await drained(js)
                assert connector.stop() == 0
        assert delivery_counts(function) == [1, 2, 3]
        (letter,) = await dead_letters(js)
        assert letter.headers["Dlq-Attempts"] == "3"


async def test_parts_of_a_message_keep_theirs(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """The bad event of a message is delivered alone no more often than it may."""
    await publish(js, [event("a"), event("bad", "status:500"), event("c")], counted=True)
    alone = "EVENTS:1/1-1"
    with FakeFunction(tmp_path).start().ready() as function:
        with connector_to(function, tmp_path, nats_url, NATS_BACKOFF="1s") as connector:
            wait_until(lambda: [alone] in function.calls())
            assert connector.stop() == 0
        with connector_to(function, tmp_path, nats_url):
            await drained(js)
        # one attempt was charged to the whole message before
        assert function.calls().count([alone]) == 2
        assert len(await dead_letters(js)) == 1


async def test_a_crash_before_the_dead_letter_is_stored_costs_no_attempt(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"]))
    full = StreamConfig(
        name="ORDERS_DLQ", subjects=["dlq.ORDERS.>"], max_msgs=0, discard=DiscardPolicy.NEW
    )
    full.max_bytes = 10
    await js.add_stream(full)
    await publish(js, event("a", "retry"), subject="orders.x")
    settings = {"TOPICS": "orders.>", "NATS_ACK_WAIT": "1s"}
    with FakeFunction(tmp_path).start().ready() as function:
        with ConnectorProcess(tmp_path, nats_url, FUNCTION_URL=function.url, **settings) as one:
            one.start().bound()
            wait_until(lambda: "dead letters are not stored" in one.log.read_text())
            one.kill()
        full.max_bytes = -1
        await js.update_stream(full)
        with ConnectorProcess(
            tmp_path, nats_url, "two", FUNCTION_URL=function.url, **settings
        ) as two:
            two.start().bound()

            async def stored() -> bool:
                return await backlog(js, "ORDERS_DLQ") == 1

            await eventually(stored)
        assert delivery_counts(function) == [1, 2, 3]


async def test_two_connectors_charge_together(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """Messages that wait long for a retry go back to the stream, and to either connector."""
    number = 100
    settings = {
        "NATS_BACKOFF": "2200ms",
        "NATS_BATCH_SIZE": "10",
        "NATS_CONCURRENCY": "2",
        "BREAKER_MIN_MESSAGES": "1000000",
    }
    with ExitStack() as stack:
        function = stack.enter_context(FakeFunction(tmp_path).start().ready())
        for name in ("one", "two"):
            stack.enter_context(connector_to(function, tmp_path, nats_url, name, **settings))
        await publish(js, *(event(f"{n}", "retry") for n in range(number)))
        await drained(js)
        attempts = Counter(name for call in function.calls() for name in call)
        assert Counter(attempts.values()) == {3: number}
        counts = Counter(delivery_counts(function))
        assert counts == {1: number, 2: number, 3: number}
        letters = await dead_letters(js)
        assert Counter(letter.headers["Dlq-Attempts"] for letter in letters) == {"3": number}
