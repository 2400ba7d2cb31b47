"""What must hold when something is killed, hangs or goes away: nothing is lost, nothing dies.

`OUTAGE_SECONDS` says for how long the gateway is away (3 by default, to be quick).
"""

import asyncio
import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from infra.local.servers.nats import EmbeddedNats
from tests.support.connector import ConnectorProcess, connector_to
from tests.support.fakes import FakeFunction, FakeGateway, deployed
from tests.support.jetstream import backlog, dead_letters, drained, event, publish, streams
from tests.support.net import eventually, wait_until

pytestmark = pytest.mark.slow

OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "3"))


async def connect(url: str) -> tuple[Client, JetStreamContext]:
    """Connect and stay connected through restarts of the server."""

    async def quiet(_: Exception) -> None:
        pass

    nc = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=quiet)
    return nc, await streams(nc)


@asynccontextmanager
async def stopped(server: EmbeddedNats, nc: Client) -> AsyncIterator[None]:
    """Stop a server for the block, after which a client is connected again."""
    await asyncio.to_thread(server.stop)
    yield
    await asyncio.to_thread(server.start)

    async def connected() -> bool:
        return nc.is_connected

    await eventually(connected)


async def conserved(connector: ConnectorProcess, events: int) -> None:
    """Check that the counters of one connector that did it all add up."""

    def balanced() -> bool:
        m = connector.metrics()
        return (
            m["fetched_events_total"]
            == m["done_events_total"] + m["dead_events_total"] + m["returned_events_total"]
            and m["fetched_messages_total"]
            == m["done_messages_total"] + m["dead_messages_total"] + m["returned_messages_total"]
            and m["done_events_total"] + m["dead_events_total"] == events
        )

    await asyncio.to_thread(wait_until, balanced)


@pytest.mark.parametrize("position", [0, 300, 511])
@pytest.mark.parametrize("how", ["kill", "drop", "status:500"])
async def test_a_poison_message_ends_alone(
    how: str, position: int, nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    number, attempts = 512, 3
    await publish(js, *(event(f"{n}", how if n == position else "") for n in range(number)))
    with (
        FakeFunction(tmp_path).keep_running().ready() as function,
        connector_to(
            function, tmp_path, nats_url, NATS_BATCH_WINDOW="5s", NATS_BATCH_SIZE=str(number)
        ) as connector,
    ):
        await drained(js)
        calls = function.calls()
        assert len(calls[0]) == number
        assert len(calls) <= 2 * math.ceil(math.log2(number)) + 1 + attempts
        done = function.done()
        assert len(done) == number - 1
        assert set(done) == {f"{n}" for n in range(number) if n != position}
        (letter,) = await dead_letters(js)
        assert json.loads(letter.data)["eventId"] == f"{position}"
        assert letter.headers["Dlq-Attempts"] == str(attempts)
        await conserved(connector, number)
    await nc.close()


@pytest.mark.parametrize("how", ["kill", "status:500", "status:422"])
async def test_a_poison_event_of_a_message_ends_alone(
    how: str, nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    poison = 777
    for start in range(0, 1024, 64):
        group = [event(f"{n}", how if n == poison else "") for n in range(start, start + 64)]
        await publish(js, group, counted=True)
    with (
        FakeFunction(tmp_path).keep_running().ready() as function,
        connector_to(function, tmp_path, nats_url, NATS_BATCH_WINDOW="5s") as connector,
    ):
        await drained(js)
        assert len(function.calls()) <= 2 * math.ceil(math.log2(1024)) + 1 + 3
        assert len(function.done()) == len(set(function.done())) == 1023
        (letter,) = await dead_letters(js)
        assert json.loads(letter.data) == event(f"{poison}", how)
        assert letter.headers["Event-Count"] == "1"
        assert letter.headers["Dlq-Sequence"] == f"{poison // 64 + 1}"
        await conserved(connector, 1024)
        assert connector.metrics()["done_messages_total"] == 16
    await nc.close()


async def test_an_array_that_is_not_said_to_be_events_is_never_split(
    nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    await publish(js, [event("a"), event("b", "status:422")], [event("c")])
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url),
    ):
        await drained(js)
        assert function.done() == ["c"]
        (letter,) = await dead_letters(js)
        assert [e["eventId"] for e in json.loads(letter.data)] == ["a", "b"]
    await nc.close()


async def test_several_poison_messages_among_traffic(nats_url: str, tmp_path: Path) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    poison = {7: "kill", 8: "kill", 500: "hang", 777: "status:500", 1500: "drop"}
    await publish(js, *(event(f"{n}", poison.get(n, "")) for n in range(2000)))
    with (
        FakeFunction(tmp_path).keep_running().ready() as function,
        connector_to(
            function,
            tmp_path,
            nats_url,
            NATS_BATCH_SIZE="250",
            FUNCTION_TIMEOUT="1s",
        ) as connector,
    ):
        await drained(js, 100)
        assert set(function.done()) == {f"{n}" for n in range(2000) if n not in poison}
        letters = await dead_letters(js)
        assert {json.loads(letter.data)["eventId"] for letter in letters} == {
            f"{n}" for n in poison
        }
        assert len(letters) == len(poison)
        await conserved(connector, 2000)
    await nc.close()


async def test_only_poison_is_given_up_too(nats_url: str, tmp_path: Path) -> None:
    """Nothing healthy to compare with, and still it comes to an end."""
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    await publish(js, *(event(f"{n}", "kill") for n in range(3)))
    with (
        FakeFunction(tmp_path).keep_running().ready() as function,
        connector_to(function, tmp_path, nats_url),
    ):
        await drained(js)
        assert len(await dead_letters(js)) == 3
    await nc.close()


async def test_messages_for_which_alone_it_is_unavailable_do_not_block_others(
    nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, NATS_BATCH_SIZE="1", NATS_CONCURRENCY="1"),
    ):
        await publish(js, event("busy", "status:429"))
        await publish(js, *(event(f"{n}") for n in range(5)))
        wait_until(lambda: len(function.done()) == 5)
        await publish(js, event("later"))
        wait_until(lambda: "later" in function.done())
        await drained(js, left=1)
        assert await dead_letters(js) == []
    await nc.close()


async def test_events_beyond_what_others_can_read_come_to_an_end(
    nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    odd = b'[{"eventId":"a","do":"dead","x":1e400},{"eventId":"b","do":"dead"},{"eventId":"c"}]'
    await publish(js, odd, event("d"))
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        await drained(js)
        assert sorted(function.done()) == ["c", "d"]
        assert len(await dead_letters(js)) == 2
        await conserved(connector, 4)
    await nc.close()


async def test_an_outage_of_the_function_kills_nothing(nats_url: str, tmp_path: Path) -> None:
    """It is away, cold, overloaded, behind a broken gateway: one after the other."""
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    with (
        FakeFunction(tmp_path) as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, NATS_MAX_DELIVER="2"
        ) as connector,
    ):
        fn = deployed("fn", function.url)
        gateway.serve(fn)
        connector.start().bound()
        await publish(js, *(event(f"{n}") for n in range(50)))
        wait_until(lambda: connector.metrics()["paused_state"] == 1)  # refused
        function.mode(status=503, headers={"Retry-After": "1"})
        function.start().ready()
        wait_until(lambda: len(function.calls()) >= 3)
        function.mode(status=429)
        calls = len(function.calls())
        wait_until(lambda: len(function.calls()) >= calls + 2)
        gateway.kill()
        wait_until(lambda: any("no connection" in x["message"] for x in connector.lines()))
        gateway.start().ready()
        function.mode()
        await drained(js)
        assert sorted(function.done(), key=int) == [f"{n}" for n in range(50)]
        assert await dead_letters(js) == []
        assert connector.health()[0] == 200
        await conserved(connector, 50)
    await nc.close()


async def test_a_gateway_that_says_500_for_a_dead_function_kills_nothing(
    nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    await publish(js, *([event(f"{n}")] for n in range(200)))
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(status=502)
        with connector_to(
            function, tmp_path, nats_url, NATS_BATCH_SIZE="20", NATS_MAX_DELIVER="2"
        ) as connector:
            wait_until(lambda: len(function.calls()) > 15)
            await asyncio.sleep(3)
            assert await backlog(js) == 200
            assert await dead_letters(js) == []
            function.mode()
            await drained(js)
            assert len(function.done()) == len(set(function.done())) == 200
            await conserved(connector, 200)
    await nc.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_the_broker_goes_and_comes_back(
    how: str, nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    nc, js = await connect(nats_server.url)
    number = 2000
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(delay=0.3)
        with connector_to(
            function, tmp_path, nats_server.url, NATS_BATCH_SIZE="10", NATS_ACK_WAIT="2s"
        ) as connector:
            await publish(
                js, *(event(f"{n}", "dead" if n % 50 == 0 else "") for n in range(number))
            )
            wait_until(lambda: len(function.done()) > 50)
            for pause in (0.2, 4.0):
                getattr(nats_server, how)()
                assert connector.health("liveness")[0] == 200
                wait_until(lambda: connector.health()[0] == 503)
                await asyncio.sleep(pause)  # the second time for longer than the ack wait
                nats_server.start()
                wait_until(lambda: connector.health()[0] == 200)
                calls = len(function.calls())
                wait_until(lambda calls=calls: len(function.calls()) > calls)
            function.mode()
            await drained(js)
            healthy = {f"{n}" for n in range(number) if n % 50}
            assert set(function.done()) == healthy
            letters = await dead_letters(js)
            assert sorted(int(json.loads(x.data)["eventId"]) for x in letters) == [
                *range(0, number, 50)
            ]
            # what was in flight when the connection broke was not delivered a second time
            assert len(function.done()) == len(healthy)
            await conserved(connector, number)
    await nc.close()


async def test_a_message_that_the_broker_noted_as_done_and_kept_goes(
    nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    """As a server leaves it that is stopped between the two."""
    nc, js = await connect(nats_server.url)
    await publish(js, *(event(f"{n}") for n in range(3)))
    (messages,) = nats_server.folder.glob("jetstream/*/streams/EVENTS/msgs")
    async with stopped(nats_server, nc):
        shutil.copytree(messages, tmp_path / "kept")
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_server.url) as connector,
    ):
        await drained(js)
        connector.signal(signal.SIGSTOP)
        async with stopped(nats_server, nc):
            shutil.rmtree(messages)
            shutil.copytree(tmp_path / "kept", messages)
        await drained(js, left=3)
        connector.signal(signal.SIGCONT)
        await drained(js)
        assert len(function.done()) == 3
    await nc.close()


async def test_messages_of_a_stream_that_was_made_anew_are_not_taken_for_done(
    nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    nc, js = await connect(nats_server.url)
    await publish(js, *(event(f"{n}") for n in range(3)))
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_server.url) as connector,
    ):
        await drained(js)
        (consumer,) = await js.consumers_info("EVENTS")
        connector.signal(signal.SIGSTOP)
        async with stopped(nats_server, nc):
            shutil.rmtree(nats_server.folder / "jetstream")
        await streams(nc)
        await publish(js, *(event(f"new-{n}") for n in range(3)))
        assert consumer.config.durable_name
        subscription = await js.pull_subscribe(
            "events.>", consumer.config.durable_name, "EVENTS", config=consumer.config
        )
        taken = await subscription.fetch(3)
        assert len(taken) == 3, "another consumer has them in flight"
        connector.signal(signal.SIGCONT)
        await publish(js, event("later"))
        wait_until(lambda: "later" in function.done())
        await drained(js, left=3)
        assert not any(name.startswith("new-") for name in function.done())
    await nc.close()


async def test_the_connector_waits_for_the_broker(
    nats_server: EmbeddedNats, tmp_path: Path
) -> None:
    nats_server.stop()
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(tmp_path, nats_server.url, FUNCTION_URL=function.url) as connector,
    ):
        connector.start()
        wait_until(lambda: connector.health()[0] == 503)
        assert connector.health("liveness")[0] == 200
        assert connector.stop() == 0, "it can be stopped while it waits"
        connector.start()
        wait_until(lambda: connector.health()[0] == 503)
        nats_server.start()
        nc, js = await connect(nats_server.url)
        connector.bound()
        await publish(js, event("a"))
        await drained(js)
        assert function.done() == ["a"]
        await nc.close()


async def test_sigterm_finishes_what_runs_and_returns_the_rest(
    nats_url: str, tmp_path: Path
) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    settings = {"NATS_BATCH_SIZE": "5", "NATS_CONCURRENCY": "2", "NATS_ACK_WAIT": "100s"}
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(delay=2)
        # before there is a connector, so that both batches are full however busy the machine is
        await publish(js, *(event(f"{n}") for n in range(100)))
        with connector_to(function, tmp_path, nats_url, "one", **settings) as one:
            wait_until(lambda: len(function.calls()) == 2)
            one.signal(signal.SIGTERM)
            # what does not run is back at once: the ack wait has 100 s to go
            with connector_to(function, tmp_path, nats_url, "two", **settings):
                wait_until(lambda: len(function.calls()) > 2, 20)
                assert one.stop() == 0
                assert len(function.done()) >= 10, "what ran was finished"
                function.mode()
                await drained(js)
                assert len(function.done()) == len(set(function.done())) == 100
    await nc.close()


async def test_sigterm_with_a_hanging_function(nats_url: str, tmp_path: Path) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    settings = {"NATS_BATCH_SIZE": "5", "NATS_ACK_WAIT": "100s", "DRAIN_TIMEOUT": "500ms"}
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(delay=1000)
        with connector_to(function, tmp_path, nats_url, "one", **settings) as one:
            await publish(js, *(event(f"{n}") for n in range(100)))
            wait_until(lambda: len(function.calls()) == 4)
            started = time.monotonic()
            assert one.stop(20) == 0
            assert time.monotonic() - started < 15
        function.mode()
        with connector_to(function, tmp_path, nats_url, "two", **settings):
            await drained(js, 60)
            assert set(function.done()) == {f"{n}" for n in range(100)}
            assert await dead_letters(js) == []
    await nc.close()


async def test_sigint_is_as_good(nats_url: str, tmp_path: Path) -> None:
    nc = await nats.connect(nats_url)
    await streams(nc)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        connector.signal(signal.SIGINT)
        assert connector.process
        assert connector.process.wait(30) == 0
    await nc.close()


async def test_killed_connectors_lose_and_double_nothing(nats_url: str, tmp_path: Path) -> None:
    """Whatever moment it is killed at, each event is done or dead, and dead only once."""
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    chance = random.Random(4)
    number = 1500
    dead = {n for n in range(number) if n % 10 == 3}
    for start in range(0, number, 3):
        await publish(
            js, [event(f"{n}", "dead" if n in dead else "") for n in range(start, start + 3)]
        )
    with FakeFunction(tmp_path).start().ready() as function:
        function.mode(delay=0.02)
        with connector_to(
            function,
            tmp_path,
            nats_url,
            NATS_BATCH_SIZE="12",
            NATS_ACK_WAIT="1s",
            BREAKER_RATIO="1",
        ) as connector:
            for _ in range(6):
                calls = len(function.calls())
                wait_until(lambda calls=calls: len(function.calls()) > calls + 2)
                await asyncio.sleep(chance.random() * 0.3)
                connector.kill()
                connector.start()
            await drained(js)
    assert set(function.done()) == {f"{n}" for n in range(number) if n not in dead}
    letters = await dead_letters(js)
    found = sorted(int(json.loads(letter.data)["eventId"]) for letter in letters)
    assert found == sorted(dead)
    await nc.close()


async def test_counters_conserve_through_faults(nats_url: str, tmp_path: Path) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    misdeeds = {
        3: "dead",
        20: "dead-message",
        55: "once:retry",
        90: "once:kill",
        120: "status:422",
        150: "once:status:503",
        180: "answer:nonsense",
        210: "retry:3",
        240: "once:drop",
    }
    events = 0
    for n in range(300):
        group = [event(f"{n}-{i}") for i in range(1 + n % 4)]
        if n in misdeeds:
            group[0] = event(f"{n}-0", misdeeds[n])
        events += len(group)
        await publish(js, group)
    with (
        FakeFunction(tmp_path).keep_running().ready() as function,
        connector_to(function, tmp_path, nats_url, NATS_BATCH_SIZE="40") as connector,
    ):
        await drained(js)
        await conserved(connector, events)
        m = connector.metrics()
        letters = await dead_letters(js)

        def held(letter_data: bytes) -> int:
            value = json.loads(letter_data)
            return len(value) if isinstance(value, list) else 1

        assert sum(held(letter.data) for letter in letters) == m["dead_events_total"]
        assert len(set(function.done())) == m["done_events_total"]
        gauges = ("inflight_messages", "inflight_events", "inflight_bytes", "inflight_invocations")
        wait_until(lambda: not any(connector.metrics()[name] for name in gauges))
    await nc.close()


async def test_the_gateway_is_away_under_load(nats_url: str, tmp_path: Path) -> None:
    nc = await nats.connect(nats_url)
    js = await streams(nc)
    with (
        FakeFunction(tmp_path).start().ready() as function,
        FakeGateway(tmp_path).start().ready() as gateway,
        ConnectorProcess(
            tmp_path, nats_url, GATEWAY_URL=gateway.url, NATS_BATCH_SIZE="20"
        ) as connector,
    ):
        gateway.serve(
            deployed(
                "fn", function.url, annotations={"topic": "events.>", "jetstream.batch-size": "20"}
            )
        )
        connector.start().bound()
        published = 0
        stop = asyncio.Event()

        async def load() -> None:
            nonlocal published
            while not stop.is_set():
                await publish(js, [event(f"{published + i}") for i in range(5)])
                published += 5

        loading = asyncio.create_task(load())
        for pause in (0.3, OUTAGE):
            before = len(function.done())

            async def more(before: int = before) -> bool:
                return len(function.done()) > before

            await eventually(more)
            await asyncio.to_thread(gateway.kill)
            await asyncio.sleep(pause)
            gateway.start()
        stop.set()
        await loading
        await drained(js)
        assert len(function.done()) >= published
        assert set(function.done()) == {f"{n}" for n in range(published)}
        assert await dead_letters(js) == []
        await conserved(connector, published)
    await nc.close()
