"""How the connector finds functions, and how messages reach them."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction, FakeGateway, deployed
from tests.support.jetstream import backlog, dead_letters, drained, event, publish
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


async def test_a_header_disposes_of_a_single_message(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, DELIVERY="single"),
    ):
        await publish(
            js,
            event("dead", "says:dead"),
            event("again", "once:says:retry:0"),
            event("later", "once:says:defer:1"),
            event("always", "says:retry:0"),
        )
        await drained(js)
        assert sorted(function.done()) == ["again", "later"]
        letters = {json.loads(letter.data)["eventId"]: letter for letter in await dead_letters(js)}
        assert {letter.headers["Dlq-Reason"] for letter in letters.values()} == {"told so"}
        attempts = {name: letter.headers["Dlq-Attempts"] for name, letter in letters.items()}
        assert attempts == {"dead": "1", "always": "3"}


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


async def test_a_lone_event_does_not_wait_for_the_window(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, NATS_BATCH_WINDOW="60s"),
    ):
        await publish(js, event("lone"))
        wait_until(lambda: function.done() == ["lone"], 20)


async def test_a_window_that_waits_for_more_events(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    settings = {"NATS_BATCH_WINDOW": "60s", "NATS_BATCH_MIN": "10"}
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, **settings) as connector,
    ):
        for number in range(9):
            await publish(js, event(f"{number}"))
        wait_until(lambda: connector.metrics().get("inflight_messages") == 9)
        await publish(js, event("9"))
        await drained(js)
        assert function.calls() == [[f"EVENTS:{n}" for n in range(1, 11)]]


async def test_bindings_come_change_and_go(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path, "one").start().ready() as one,
        FakeFunction(tmp_path, "two").start().ready() as two,
        FakeGateway(tmp_path) as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, SECRETS_DIR=str(tmp_path)
        ) as connector,
    ):
        (tmp_path / "basic-auth-user").write_text("admin")
        (tmp_path / "basic-auth-password").write_text("pw")
        connector.start()
        wait_until(lambda: connector.health()[0] == 503)
        wait_until(
            lambda: "gateway does not respond" in connector.health()[1]["checks"]["functions"]
        )
        gateway.serve(password="other")
        gateway.start().ready()
        wait_until(lambda: "401" in connector.health()[1]["checks"]["functions"])
        gateway.serve({"name": "no-topic", "url": one.url}, password="pw")
        wait_until(lambda: connector.health()[0] == 200)

        batch = {"jetstream.batch-size": "10"}
        first = deployed("one", one.url, annotations={"topic": "events.facebook", **batch})
        gateway.serve(first, password="pw")
        connector.bound()
        await publish(js, event("a"))
        wait_until(lambda: one.done() == ["a"])
        assert "Authorization" not in one.requests()[0]["headers"], "not the function's business"
        await publish(js, event("t"), subject="events.tiktok")

        # another function for the rest; the first takes more at a time
        one.mode(delay=1)
        await publish(js, event("b"))
        wait_until(lambda: len(one.calls()) == 2)
        changed = deployed(
            "one",
            one.url,
            annotations={"topic": "events.facebook,events.x", "jetstream.batch-size": "20"},
        )
        second = deployed("two", two.url, annotations={"topic": "events.tiktok", **batch})
        gateway.serve(changed, second, password="pw")
        connector.bound(2)
        wait_until(lambda: two.done() == ["t"])
        await publish(js, event("x"), subject="events.x")
        wait_until(lambda: one.done() == ["a", "b", "x"])
        assert len(one.calls()) == 3, "running invocations went on"

        # one goes while it works; what it has is finished, what comes later waits
        await publish(js, event("c"))
        wait_until(lambda: len(one.calls()) == 4)
        gateway.serve(second, password="pw")
        wait_until(lambda: [b["function"] for b in connector.bindings()] == ["two"])
        wait_until(lambda: one.done()[-1] == "c")
        await publish(js, event("d"))
        await publish(js, event("u"), subject="events.tiktok")
        wait_until(lambda: two.done() == ["t", "u"])
        await drained(js, left=1)
        gateway.serve(changed, second, password="pw")
        wait_until(lambda: one.done()[-1] == "d")
        await drained(js)
        assert connector.stop() == 0


async def test_a_function_that_the_gateway_does_not_know_yet_kills_no_message(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    """A 404 of the gateway is not the function's: nothing is dead because of it."""
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, DISCOVERY_INTERVAL="5s"
        ) as connector,
    ):
        fn = deployed("fn", function.url)
        gateway.serve(fn)
        connector.start().bound()
        gateway.serve()
        await publish(js, event("a"))
        wait_until(lambda: connector.metrics().get("paused_state") == 1)
        gateway.serve(fn)
        await drained(js)
        assert function.done() == ["a"]
        assert await dead_letters(js) == []


async def test_two_functions_cannot_share_a_subject_of_a_workqueue(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url) as connector,
    ):
        batch = {"jetstream.batch-size": "10"}
        gateway.serve(deployed("all", function.url))
        connector.start().bound()
        gateway.serve(
            deployed("all", function.url),
            deployed("some", function.url, annotations={"topic": "events.facebook", **batch}),
            deployed("none", function.url, annotations={"topic": "nowhere.>", **batch}),
            deployed("odd", function.url, annotations={"topic": "events..x", **batch}),
        )
        wait_until(lambda: set(connector.state().get("unbound", {})) == {"none", "odd"})
        assert connector.state()["unbound"] == {
            "none": "no stream stores the subject nowhere.>",
            "odd": "not a NATS subject: 'events..x'",
        }

        def fault() -> str:
            by_name = {b["function"]: b["fault"] for b in connector.state()["bindings"]}
            return by_name.get("some") or ""

        wait_until(lambda: "workqueue" in fault())
        assert "events.facebook overlaps with events.> of consumer all" in fault()
        await publish(js, event("a"))
        wait_until(lambda: function.done() == ["a"])
        assert connector.health()[0] == 200
        # the other one goes: its consumer is given up by hand, as the message says
        gateway.serve(deployed("some", function.url, annotations={"topic": "events.>", **batch}))
        wait_until(lambda: len(connector.state()["bindings"]) == 1)
        await js.delete_consumer("EVENTS", "all")
        connector.bound()
        await publish(js, event("b"))
        wait_until(lambda: function.done() == ["a", "b"])


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


async def test_scaling_follows_the_lag(js: JetStreamContext, nats_url: str, tmp_path: Path) -> None:
    labels = {
        "com.openfaas.scale.min": "1",
        "com.openfaas.scale.max": "4",
        "com.openfaas.scale.zero": "true",
        "com.openfaas.scale.zero-duration": "1s",
    }
    annotations = {
        "topic": "events.>",
        "jetstream.batch-size": "10",
        "jetstream.lag-per-replica": "100",
    }
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, SCALE_DOWN_STABILIZATION="500ms"
        ) as connector,
    ):
        function.mode(status=503)
        fn = deployed("fn", function.url, labels=labels, annotations=annotations)
        gateway.serve({**fn, "replicas": 0})
        connector.start().bound()
        await publish(js, *([event(f"{n}-{i}") for i in range(10)] for n in range(25)))
        wait_until(lambda: gateway.functions()[0]["replicas"] == 3)
        await publish(js, *([event(f"x{n}-{i}") for i in range(10)] for n in range(100)))
        wait_until(lambda: gateway.functions()[0]["replicas"] == 4)
        wait_until(lambda: connector.metrics()["lag_messages"] >= 125)
        assert connector.metrics()["desired_replicas"] == 4
        function.mode()
        await drained(js)
        wait_until(lambda: gateway.functions()[0]["replicas"] == 0)
        assert gateway.asked()[-1] == 0
        # back from zero
        await publish(js, event("again"))
        await drained(js)

        # an engine that refuses zero is asked once
        gateway.serve({**fn, "replicas": 1}, refuseZero=True)
        zeros = gateway.asked().count(0)
        wait_until(lambda: gateway.asked().count(0) == zeros + 1)
        await asyncio.sleep(2)
        assert gateway.asked().count(0) == zeros + 1
        assert gateway.functions()[0]["replicas"] == 1
        assert any("refuses to scale fn to zero" in line["message"] for line in connector.lines())


async def test_an_engine_that_makes_one_of_zero_is_asked_once(
    nats_url: str, js: JetStreamContext, tmp_path: Path
) -> None:
    """OpenFaaS' Community Edition answers 202, and the function keeps a replica."""
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url) as connector,
    ):
        labels = {"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "100ms"}
        fn = {"name": "fn", "url": function.url, "annotations": {"topic": "events.>"}}
        gateway.serve({**fn, "labels": labels, "replicas": 1}, zeroIsOne=True)
        connector.start().bound()

        def told() -> list[dict[str, Any]]:
            lines = connector.lines()
            return [line for line in lines if "to scale fn to zero and keeps" in line["message"]]

        wait_until(told)
        asked = gateway.asked()
        await asyncio.sleep(2)
        assert gateway.asked() == asked
        assert len(told()) == 1


def test_a_port_that_is_taken_is_said_in_a_line(nats_url: str, tmp_path: Path) -> None:
    """On a host of faasd, 8081 is the provider's."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with ConnectorProcess(tmp_path, nats_url, PORT=str(port)) as connector:
            connector.start()
            wait_until(lambda: connector.process and connector.process.poll() is not None)
            assert connector.process
            assert connector.process.poll() == 1
            [line] = [each for each in connector.lines() if each["level"] == "ERROR"]
            assert f"port {port}, for health and metrics, cannot be had" in line["message"]
            assert "Address already in use; PORT names another" in line["message"]


async def test_functions_that_are_named_need_no_list(
    nats_url: str, js: JetStreamContext, tmp_path: Path
) -> None:
    """The Community Edition's gateway panics at the list while its Prometheus is away."""
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(tmp_path, nats_url, GATEWAY_URL=gateway.url) as connector,
        ConnectorProcess(
            tmp_path, nats_url, "named", GATEWAY_URL=gateway.url, FUNCTIONS="gone, fn"
        ) as named,
    ):
        fn = {"name": "fn", "url": function.url, "annotations": {"topic": "events.>"}}
        gateway.serve({**fn, "replicas": 1}, {**fn, "name": "other"}, listPanics=True)
        connector.start()
        wait_until(lambda: any("Prometheus" in line["message"] for line in connector.lines()))
        named.start().bound()
        await publish(js, event("e1"))
        await drained(js)
        assert [each["function"] for each in named.bindings()] == ["fn"]


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
                return state == 2 and connector.bindings()[0]["breaker"] == "open"

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


@pytest.mark.parametrize("policy", [RetentionPolicy.LIMITS])
async def test_a_foreign_consumer_is_left_alone(
    policy: RetentionPolicy, nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"], retention=policy))
    await js.add_consumer("S", ConsumerConfig(durable_name="theirs", filter_subject="s.a"))
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(tmp_path, nats_url, FUNCTION_URL=function.url, TOPICS="s.>") as connector,
    ):
        connector.start().bound()
        await publish(js, event("a"), subject="s.a")
        wait_until(lambda: function.done() == ["a"])
        assert (await js.consumer_info("S", "theirs")).num_pending == 1
