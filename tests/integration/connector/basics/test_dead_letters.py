"""What is dead is stored before its message is acknowledged, as it was, and seldom all."""

import asyncio
import json
from pathlib import Path

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import backlog, dead_letters, drained, event, publish
from tests.support.net import wait_until


async def test_other_streams_get_a_dead_letter_queue_of_their_own(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"]))
    await js.add_stream(
        StreamConfig(name="OTHERS", subjects=["x"], retention=RetentionPolicy.INTEREST)
    )
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(
            tmp_path, nats_url, FUNCTION_URL=function.url, TOPICS="orders.*,x", FUNCTION_NAME="f.n"
        ) as connector,
    ):
        connector.start().bound(2)
        await publish(js, event("good"), event("bad", "dead-message"), subject="orders.de")
        await publish(js, event("y"), subject="x")
        wait_until(lambda: set(function.done()) == {"good", "y"})
        wait_until(lambda: connector.metrics()["dead_messages_total"] == 1)
        (letter,) = await dead_letters(js, "ORDERS_DLQ")
        assert letter.subject == "dlq.ORDERS.orders.de"
        # the stream keeps messages, the consumer has moved on
        (consumer,) = await js.consumers_info("ORDERS")
        assert consumer.num_pending == consumer.num_ack_pending == 0


async def test_dead_events_of_a_message_keep_their_bytes(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    payload = b'[{"eventId":"a"} , {"eventId": "b", "do":"dead", "n": 1.10e2},{"eventId":"c"}]'
    await publish(js, payload)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        await drained(js)
        assert function.done() == ["a", "c"]
        (letter,) = await dead_letters(js)
        assert letter.data == b'{"eventId": "b", "do":"dead", "n": 1.10e2}'
        assert letter.headers["Dlq-Event-Id"] == "b"
        assert letter.headers["Dlq-Reason"] == "told to refuse"
        m = connector.metrics()
        assert (m["done_events_total"], m["dead_events_total"]) == (2, 1)


async def test_dead_letters_are_held_while_the_queue_does_not_take_them(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        full = (await js.stream_info("EVENTS_DLQ")).config
        await js.update_stream(full, max_msgs=0, max_bytes=1, discard=DiscardPolicy.NEW)
        await publish(js, event("bad", "dead"), event("good"))
        wait_until(lambda: any("are held" in line["message"] for line in connector.lines()))
        wait_until(lambda: connector.metrics()["done_messages_total"] == 1)
        await asyncio.sleep(1)
        assert await backlog(js) == 1, "not acknowledged before its dead letter is safe"
        await js.delete_stream("EVENTS_DLQ")  # it is made anew
        await drained(js)
        (letter,) = await dead_letters(js)
        assert letter.headers["Dlq-Event-Id"] == "bad"
        assert len([c for c in function.calls() if "EVENTS:1" in c]) == 1


async def test_a_message_that_fills_the_limit_fits_the_dead_letter_queue(
    nc: Client, js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    head = json.dumps(event("large", "dead-message", text=""))[:-2]
    headers = {"X-Call-Id": "c", "Filling": "y" * 2000}
    room = nc.max_payload - sum(len(k) + len(v) + 4 for k, v in headers.items()) - 200 - 500
    payload = (head + "x" * (room - len(head)) + '"}').encode()
    await js.publish("events.facebook", payload, headers=headers)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url),
    ):
        await drained(js)
        (letter,) = await dead_letters(js)
        assert letter.data == payload
        assert letter.headers["Dlq-Reason"] == "all of it"


async def test_the_breaker_keeps_a_bad_deployment_from_emptying_the_stream(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(status=422)
        with connector_to(
            function, tmp_path, nats_url, BREAKER_COOLDOWN="1s,2s", BREAKER_MIN_MESSAGES="10"
        ) as connector:
            await publish(js, *(event(f"{n}") for n in range(300)))

            def is_open() -> bool:  # both ask at the same time: it stays so for a second
                state = connector.metrics().get("breaker_state")
                [binding] = connector.bindings()
                said = any("the breaker is open" in each for each in binding["explanation"])
                return state == 2 and binding["breaker"] == "open" and said

            wait_until(is_open)
            calls = len(function.calls())
            # one message is tried after the pause
            wait_until(lambda: len(function.calls()) > calls)
            assert len(function.calls()[-1]) == 1
            assert await backlog(js) > 280
            function.mode()
            await drained(js)
            letters = await dead_letters(js)
            assert len(letters) < 20
            assert len(set(function.done())) + len(letters) == 300
            assert connector.metrics()["breaker_state"] == 0
    said = [line["message"] for line in connector.lines() if line["message"].startswith("breaker")]
    assert said[0] == "breaker of function is open: nearly all are dead"
    assert said[-1] == "breaker of function is closed"
