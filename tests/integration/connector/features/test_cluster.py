"""A cluster of three NATS servers, of which the one that leads the stream is killed under load."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction
from tests.support.jetstream import event
from tests.support.nats_cluster import nats_cluster
from tests.support.net import eventually, wait_until

MESSAGES = 4000
AT_ONCE = 50

pytestmark = pytest.mark.slow


async def stored(js: JetStreamContext, name: str, do: str = "") -> None:
    """Publish an event until the stream says that it has it."""
    payload = json.dumps(event(name, do)).encode()
    while True:
        try:
            await js.publish("orders.de", payload, timeout=2, headers={"Nats-Msg-Id": name})
        except (NatsError, OSError):
            await asyncio.sleep(0.1)
        else:
            return


async def leader(js: JetStreamContext, stream: str) -> str | None:
    try:
        cluster = (await js.stream_info(stream)).cluster
    except NatsError:
        return None
    return cluster.leader if cluster else None


async def test_the_leader_of_a_stream_is_killed_under_load(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every message is delivered, none is lost, and a lone one does not wait afterwards."""
    with nats_cluster(tmp_path) as members:
        url = ",".join(f"nats://127.0.0.1:{member.port}" for member in members.values())
        nc = await nats.connect(url.split(","), max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        js = nc.jetstream()
        config = StreamConfig(
            name="ORDERS",
            subjects=["orders.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            num_replicas=3,
        )

        async def made() -> bool:
            try:
                await js.add_stream(config)
            except NatsError:
                return False
            return True

        await eventually(made)
        with (
            FakeFunction(tmp_path).start().ready() as function,
            ConnectorProcess(
                tmp_path, url, FUNCTION_URL=function.url, TOPICS="orders.>", NATS_BATCH_SIZE="50"
            ) as connector,
        ):
            connector.start().bound()
            copies = (await js.consumer_info("ORDERS", "function")).config.num_replicas
            assert copies in (None, 0, 3), "the consumer is as safe as its stream"
            killed = ""
            for first in range(0, MESSAGES, AT_ONCE):
                names = [f"e{number}" for number in range(first, first + AT_ONCE)]
                # one in each round is tried again, so that attempts are stored meanwhile, too
                dos = ["once:retry", *[""] * (AT_ONCE - 1)]
                await asyncio.gather(*map(stored, [js] * AT_ONCE, names, dos))
                if first == MESSAGES // 2:
                    killed = await eventually(lambda: leader(js, "ORDERS")) or ""
                    members[killed].kill()

            async def drained() -> bool:
                try:
                    return (await js.stream_info("ORDERS")).state.messages == 0
                except NatsError:
                    return False

            await eventually(drained, 90)
            done = set(function.done())
            missing = {f"e{number}" for number in range(MESSAGES)} - done
            assert not missing, f"{len(missing)} messages are lost"
            assert connector.metrics().get("dead_messages_total", 0.0) == 0
            assert (await js.stream_info("ORDERS_DLQ")).state.messages == 0
            repeated = len(function.done()) - len(done)

            began = time.monotonic()
            await stored(js, "lone")
            wait_until(lambda: "lone" in function.done(), every=0.01)
            lone = time.monotonic() - began

            # and it takes part again
            members[killed].start()
            await stored(js, "last")
            wait_until(lambda: "last" in function.done())
            record_property("lone_message_seconds", round(lone, 3))
            record_property("repeated_messages", repeated)
            print(f"lone message after {lone:.3f} s; {repeated} of {MESSAGES} repeated")
        await nc.close()
