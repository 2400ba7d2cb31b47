"""After a lost connection to NATS: what is repeated, and what comes first."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import RetentionPolicy, StreamConfig

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction
from tests.support.jetstream import event, publish
from tests.support.net import eventually, wait_until
from tests.support.relay import Relay

MESSAGES = 1000


@pytest.mark.parametrize("retention", [RetentionPolicy.WORK_QUEUE, RetentionPolicy.LIMITS])
async def test_acknowledgements_are_repeated_after_pulling_and_for_work_queues_only(
    retention: RetentionPolicy, nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"], retention=retention))
    port = urlsplit(nats_url).port
    assert port
    seen: list[str] = []

    async def note(msg: Msg) -> None:
        kind = "pull" if msg.subject.startswith("$JS.API.CONSUMER.MSG.NEXT.S.") else "ack"
        if kind == "pull" or msg.data == b"+ACK":
            seen.append(kind)

    with (
        FakeFunction(tmp_path).start().ready() as function,
        Relay(port) as relay,
        ConnectorProcess(
            tmp_path,
            f"nats://127.0.0.1:{relay.port}",
            FUNCTION_URL=function.url,
            TOPICS="s.>",
        ) as connector,
    ):
        connector.start().bound()
        for subject in ("$JS.ACK.S.>", "$JS.API.CONSUMER.MSG.NEXT.S.>"):
            await nc.subscribe(subject, cb=note)
        await nc.flush()
        for n in range(MESSAGES):
            await publish(js, event(f"{n}"), subject="s.a")

        async def acknowledged(times: int) -> bool:
            return seen.count("ack") >= times

        await eventually(lambda: acknowledged(MESSAGES))
        seen.clear()
        relay.cut()
        await publish(js, event("lone"), subject="s.a")
        wait_until(lambda: "lone" in function.done())
        if retention is RetentionPolicy.WORK_QUEUE:
            await eventually(lambda: acknowledged(MESSAGES + 1))
        else:
            await eventually(lambda: acknowledged(1))
            assert seen.count("ack") == 1, "that of the lone one"
        assert seen.index("pull") < seen.index("ack")
