"""How the connector finds functions, and what keeps it from that."""

import socket
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, deployed
from tests.support.jetstream import dead_letters, drained, event, publish
from tests.support.net import wait_until


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
