"""What functions answer goes on to other functions, none of which knows NATS."""

import json
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import backlog, dead_letters, event, publish
from tests.support.net import eventually, wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_chain_of_functions(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    """`price` answers single calls, `bill` batches, and `clerk` gets what either cannot process."""
    js = nc.jetstream()
    work = RetentionPolicy.WORK_QUEUE
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"], retention=work))
    await js.add_stream(StreamConfig(name="PRICED", subjects=["priced"]))
    await js.add_stream(StreamConfig(name="END", subjects=["billed", "failed"]))
    topics = {"error_topic": "failed"}
    gateway.serve(
        subscribed("price", function, "orders.>", result_topic="priced", **topics),
        subscribed("bill", function, "priced", result_topic="billed", batch_size="10", **topics),
        subscribed("clerk", function, "failed"),
    )
    connector.bound(3)
    priced = json.dumps(event("priced-a", "result:paid"))
    order = event("a", f"answer:{priced}")
    headers = {"traceparent": TRACE, "X-Call-Id": "call-1"}
    await js.publish("orders.a", json.dumps(order).encode(), headers=headers)
    await publish(js, event("silent"), subject="orders.a")  # an empty body is no result
    await publish(js, event("bad", "says:dead"), subject="orders.a")

    async def ended() -> bool:
        return await backlog(js, "ORDERS") == 0 and await backlog(js, "END") == 2

    await eventually(ended)
    answer = await js.get_msg("PRICED", 1)
    assert answer.data == priced.encode()
    expected = headers | {"Result-Of": "ORDERS:1", "Result-Function": "price"}
    assert expected.items() <= (answer.headers or {}).items()
    assert (answer.headers or {})["Content-Type"].startswith("text/plain")
    assert await backlog(js, "PRICED") == 1
    billed = await js.get_last_msg("END", "billed")
    assert json.loads(billed.data or b"") == {"of": "priced-a", "says": "paid"}
    expected = headers | {"Result-Of": "PRICED:1", "Content-Type": "application/json"}
    assert expected.items() <= (billed.headers or {}).items()
    # the copy of the dead letter reached the function for these
    wait_until(lambda: any("Dlq-Reason" in call["headers"] for call in function.requests()))
    (clerks,) = [call for call in function.requests() if "Dlq-Reason" in call["headers"]]
    assert json.loads(clerks["body"])["eventId"] == "bad"
    assert (clerks["headers"]["Dlq-Reason"], clerks["headers"]["Dlq-Function"]) == (
        "told so",
        "price",
    )
    assert len(await dead_letters(js, "ORDERS_DLQ")) == 1
    assert connector.metrics()["published_messages_total"] == 3
    (binding,) = [b for b in connector.bindings() if b["function"] == "price"]
    assert "its answers are published to priced" in binding["explanation"]


async def test_results_are_stored_before_their_messages_are_done_and_once(
    nc: Client, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    """One of two results is stored when the connector is killed, with both messages in hand."""
    js = nc.jetstream()
    work = RetentionPolicy.WORK_QUEUE
    await js.add_stream(StreamConfig(name="IN", subjects=["events.>"], retention=work))
    full = StreamConfig(name="OUT", subjects=["out"], max_msgs=1, discard=DiscardPolicy.NEW)
    await js.add_stream(full)
    await publish(js, event("a", "result:1"), event("b", "result:2"), subject="events.a")
    settings = {"RESULT_TOPIC": "out", "NATS_ACK_WAIT": "1s", "NATS_BATCH_MIN": "2"}
    settings["NATS_BATCH_WINDOW"] = "20s"
    with connector_to(function, tmp_path, nats_url, "one", **settings) as one:
        wait_until(
            lambda: any(
                "results are not stored and their messages are held" in sentence
                for binding in one.bindings()
                for sentence in binding["explanation"]
            )
        )
        assert (await backlog(js, "IN"), await backlog(js, "OUT")) == (2, 1)
        one.kill()
    full.max_msgs = -1
    await js.update_stream(full)
    with connector_to(function, tmp_path, nats_url, "two", **settings):

        async def done() -> bool:
            return await backlog(js, "IN") == 0

        await eventually(done)
    assert await backlog(js, "OUT") == 2
    found = [json.loads((await js.get_msg("OUT", n)).data or b"") for n in (1, 2)]
    assert sorted(result["of"] for result in found) == ["a", "b"]
    assert len(function.calls()) == 2


@pytest.mark.slow
async def test_a_result_that_nats_cannot_store_is_a_dead_letter(
    nc: Client, function: FakeFunction, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="IN", subjects=["events.>"]))
    small = StreamConfig(name="OUT", subjects=["out"])
    small.max_msg_size = 400
    await js.add_stream(small)
    await publish(js, event("a", f"result:{'x' * 400}"), subject="events.a")
    with connector_to(function, tmp_path, nats_url, RESULT_TOPIC="out") as connector:
        wait_until(lambda: connector.metrics().get("dead_messages_total") == 1)
    (letter,) = await dead_letters(js, "IN_DLQ")
    assert "NATS stores 400 in out" in letter.headers["Dlq-Reason"]


@pytest.mark.slow
async def test_topics_that_cannot_work_are_faults(
    nc: Client, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="IN", subjects=["in.>"]))
    gateway.serve(
        subscribed("loop", function, "in.>", result_topic="in.again"),
        subscribed("loop-of-errors", function, "in.>", error_topic="in.again"),
        subscribed("many", function, "in.>", result_topic="out.*"),
        subscribed("server", function, "in.>", result_topic="$JS.API.STREAM.DELETE.IN"),
        subscribed("lost", function, "in.>", result_topic="nowhere"),
        subscribed("good", function, "in.>"),
    )
    connector.bound()
    wait_until(lambda: len(connector.state()["bindings"]) == 2)
    state = connector.state()
    assert state["unbound"] == {
        "loop": "a loop: jetstream.result-topic in.again is of its own topic in.>",
        "loop-of-errors": "a loop: jetstream.error-topic in.again is of its own topic in.>",
        "many": "annotation jetstream.result-topic: not a NATS subject to publish to: 'out.*'",
        "server": "annotation jetstream.result-topic: not a NATS subject to publish to: "
        "'$JS.API.STREAM.DELETE.IN'",
    }
    wait_until(
        lambda: (
            "no stream stores nowhere, its jetstream.result-topic"
            in {b["fault"] for b in connector.state()["bindings"]}
        )
    )
    assert connector.metrics()["unbound_functions"] == 5
    # it is bound as soon as there is one
    await js.add_stream(StreamConfig(name="OUT", subjects=["nowhere"]))
    connector.bound(2)
