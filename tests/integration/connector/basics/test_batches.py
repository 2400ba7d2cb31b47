"""What functions get, and how much of it at a time."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext

from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction, FakeGateway, deployed
from tests.support.jetstream import dead_letters, drained, event, publish
from tests.support.net import wait_until


def data_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    return json.loads(request["body"])


async def test_a_batch_as_functions_see_it(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    await publish(js, event("a"), [event("b"), event("c")])
    await publish(js, b"not json", subject="events.tiktok")
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        await drained(js)
        (request,) = function.requests()
        assert request["headers"]["Content-Type"] == "application/cloudevents-batch+json"
        assert request["headers"]["X-Call-Id"] == "call-1", "the one that all messages share"
        first, second, third = data_of(request)
        assert first["id"] == "EVENTS:1"
        assert first["source"] == "/jetstream/EVENTS/function"
        assert first["type"] == "universe.jetstream.message"
        assert first["specversion"] == "1.0"
        assert first["subject"] == "events.facebook"
        assert first["callid"] == "call-1"
        assert first["deliverycount"] == 1
        assert first["data"] == event("a")
        assert second["data"] == [event("b"), event("c")]
        assert third["subject"] == "events.tiktok"
        assert third["data_base64"] == "bm90IGpzb24="
        # an acknowledgement is on its way when the function has answered
        wait_until(lambda: connector.metrics()["done_messages_total"] == 3)
        m = connector.metrics()
        assert m["done_events_total"] == m["fetched_events_total"] == 4
        assert m["batch_events_count"] == 1
        assert connector.health() == (
            200,
            {"status": "ok", "checks": {"nats": "ok", "functions": "ok"}},
        )
        assert connector.health("liveness")[0] == 200
        assert connector.stop() == 0
    assert {line["component"] for line in connector.lines()} == {"connector"}


async def test_single_delivery_suits_functions_of_other_connectors(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    await publish(js, event("a"), b"plain text")
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url).start() as connector,
    ):
        gateway.serve(deployed("fn", function.url, annotations={"topic": "events.>"}))
        connector.bound()
        await drained(js)
        requests = sorted(function.requests(), key=lambda request: request["ids"])
        assert [request["body"] for request in requests] == [json.dumps(event("a")), "plain text"]
        headers = requests[0]["headers"]
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Topic"] == headers["ce-subject"] == "events.facebook"
        assert headers["ce-id"] == "EVENTS:1"
        assert headers["ce-source"] == "/jetstream/EVENTS/fn"
        assert headers["X-Call-Id"] == headers["ce-callid"] == "call-1"
        assert requests[1]["headers"]["Content-Type"] == "application/octet-stream"


async def test_batches_keep_to_their_limits(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    await publish(js, *([event(f"{n}-{i}") for i in range(10)] for n in range(30)))
    await publish(js, [event(f"large-{i}") for i in range(70)])
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, NATS_BATCH_SIZE="55", NATS_CONCURRENCY="2"),
    ):
        await drained(js)
        calls = function.calls()
        assert max(len(call) for call in calls if "EVENTS:31" not in call) == 5
        assert ["EVENTS:31"] in calls, "larger than a batch: alone"
        assert len(function.done()) == len(set(function.done())) == 370


async def test_messages_beyond_the_byte_limit_arrive_one_by_one(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    for n in range(3):
        await publish(js, event(f"large-{n}", text="x" * 900_000), event(f"small-{n}"))
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(
            function, tmp_path, nats_url, NATS_BATCH_BYTES="1000", NATS_CONCURRENCY="1"
        ) as connector,
    ):
        await drained(js)
        assert len(function.done()) == len(set(function.done())) == 6
        assert connector.metrics()["redelivered_messages_total"] == 0


@pytest.mark.slow
async def test_memory_in_flight_is_bounded_while_the_function_is_away(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    filling = "x" * 10_000
    await publish(js, *([event(f"{n}", text=filling)] for n in range(400)))
    with (
        FakeFunction(tmp_path) as function,
        connector_to(
            function, tmp_path, nats_url, NATS_BATCH_BYTES="100000", NATS_CONCURRENCY="2"
        ) as connector,
    ):
        wait_until(lambda: connector.metrics().get("inflight_bytes", 0) > 200_000)
        await asyncio.sleep(4)  # longer than the ack wait
        m = connector.metrics()
        assert m["inflight_bytes"] < 100_000 * 3 + 20_000
        assert m["redelivered_messages_total"] == 0, "no redelivery while messages wait"
        assert m["paused_state"] == 1
        assert connector.state()["bindings"][0]["unavailable"]
        function.start()
        await drained(js)
        assert len(function.done()) == len(set(function.done())) == 400
        assert await dead_letters(js) == []


async def test_no_redelivery_while_an_invocation_runs(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(delay=3)
        with connector_to(function, tmp_path, nats_url, NATS_ACK_WAIT="1s") as connector:
            await publish(js, event("slow"))
            await drained(js)
            assert function.done() == ["slow"]
            assert len(function.calls()) == 1
            assert connector.metrics()["redelivered_messages_total"] == 0


async def test_an_event_that_is_not_there_fails_the_answer(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    answer = {
        "batchItemFailures": [
            {"itemIdentifier": "EVENTS:1", "disposition": "dead", "events": [{"index": 1}]}
        ]
    }
    await publish(js, event("a", "once:answer:" + json.dumps(answer)))
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url),
    ):
        await drained(js)
        assert function.done() == ["a"]
        assert await dead_letters(js) == []


async def test_connectors_share_a_consumer(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(delay=0.2)
        small = {"NATS_BATCH_SIZE": "1", "NATS_CONCURRENCY": "1"}
        with (
            connector_to(function, tmp_path, nats_url, "one", **small) as one,
            connector_to(function, tmp_path, nats_url, "two", **small) as two,
        ):
            await publish(js, *(event(f"{n}") for n in range(200)))
            wait_until(lambda: len(function.done()) >= 10)
            function.mode()
            await drained(js)
            done = [c.metrics()["done_messages_total"] for c in (one, two)]
            assert sum(done) == 200
            assert all(done)
            assert len(function.done()) == len(set(function.done())) == 200
            assert len(await js.consumers_info("EVENTS")) == 1


async def test_a_lost_acknowledgement_is_sent_again_without_another_call(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """Here a second consumer name takes the part of the server that heard nothing."""
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        await publish(js, event("a"))
        await drained(js)
        config = (await js.consumer_info("EVENTS", "function")).config
        assert config.max_deliver == -1
        assert config.max_ack_pending == 20_000
        assert config.ack_wait == 3.0
        assert config.metadata
        assert config.metadata["universe.function"] == "function"
        assert connector.metrics()["acked_messages_total"] == 1
        # the consumer is deleted by hand: it is created again
        await js.delete_consumer("EVENTS", "function")
        await publish(js, event("b"))
        wait_until(lambda: function.done() == ["a", "b"])
        await drained(js)


async def test_retries_that_wait_do_not_keep_others_from_being_delivered(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    delay = 6
    await publish(js, *(event(f"slow-{n}", f"once:retry:{delay}") for n in range(100)))
    await publish(js, event("fresh"))
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(
            function, tmp_path, nats_url, NATS_BATCH_SIZE="10", NATS_CONCURRENCY="1"
        ) as connector,
    ):
        await drained(js)
        assert len(function.done()) == len(set(function.done())) == 101
        assert function.done()[0] == "fresh"
        of_first = [entry["time"] for entry in function.requests() if "EVENTS:1" in entry["ids"]]
        assert len(of_first) == 2
        assert of_first[1] - of_first[0] >= delay
        m = connector.metrics()
        assert m["returned_messages_total"] > 0
        assert m["fetched_messages_total"] == (
            m["done_messages_total"] + m["returned_messages_total"]
        )
