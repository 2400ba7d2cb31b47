"""The streams that dead letters go to: one's own keep their limits, and every stream has one."""

import json
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig, StreamSource

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction
from tests.support.jetstream import backlog, dead_letters, event, publish
from tests.support.net import eventually, wait_until


async def configuration(nc: Client, stream: str) -> dict[str, Any]:
    """Return the configuration of a stream as the server has it, every field."""
    response = await nc.request(f"$JS.API.STREAM.INFO.{stream}", b"")
    return json.loads(response.data)["config"]


@pytest.mark.parametrize("subject", ["dead.{subject}", "dlq.{stream}.{subject}"])
async def test_ones_own_stream_gets_subjects_and_keeps_all_else(
    subject: str, nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="SRC", subjects=["src.a"]))
    own = {
        "name": "KEEP_DLQ",
        "subjects": ["mine", "dead.src.a"],
        "max_msgs": 1000,
        "max_age": 0,
        "allow_msg_ttl": True,  # the client library does not know this one
        "retention": "limits",
        "storage": "memory",
        "metadata": {"owner": "me"},
    }
    made = json.loads((await nc.request("$JS.API.STREAM.CREATE.KEEP_DLQ", _json(own))).data)
    assert "error" not in made, made
    before = await configuration(nc, "KEEP_DLQ")
    await js.update_stream(StreamConfig(name="SRC", subjects=["src.a", "src.b"]))
    settings = {"TOPICS": "src.*", "DLQ_STREAM": "KEEP_DLQ", "DLQ_SUBJECT": subject}
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(tmp_path, nats_url, FUNCTION_URL=function.url, **settings) as connector,
    ):
        function.mode(status=422)
        connector.start().bound()
        await publish(js, event("b"), subject="src.b")
        await eventually(lambda: _holds(nc, "KEEP_DLQ"))
        (letter,) = await dead_letters(js, "KEEP_DLQ")
        assert letter.subject == subject.format(stream="SRC", subject="src.b")
    after = await configuration(nc, "KEEP_DLQ")
    assert set(after.pop("subjects")) > set(before.pop("subjects"))
    assert after == before


@pytest.mark.parametrize("mirror", [False, True])
async def test_a_stream_without_subjects_of_its_own_has_dead_letters(
    mirror: bool, nc: Client, nats_url: str, tmp_path: Path
) -> None:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="SRC", subjects=["src.>"]))
    source = StreamSource(name="SRC")
    fed = StreamConfig(name="AUDIT")
    if mirror:
        fed.mirror = source
    else:
        fed.sources = [source]
    await js.add_stream(fed)
    await publish(js, event("a"), subject="src.a")
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(
            tmp_path, nats_url, FUNCTION_URL=function.url, TOPICS="src.>", STREAM="AUDIT"
        ) as connector,
    ):
        function.mode(status=422)
        connector.start().bound()
        await eventually(lambda: _holds(nc, "AUDIT_DLQ"))
        (letter,) = await dead_letters(js, "AUDIT_DLQ")
        assert letter.subject == "dlq.AUDIT.src.a"
        assert letter.headers["Dlq-Stream"] == "AUDIT"
        assert connector.stop() == 0


async def _holds(nc: Client, stream: str) -> bool:
    names = json.loads((await nc.request("$JS.API.STREAM.NAMES", b"")).data)["streams"]
    return stream in names and await backlog(nc.jetstream(), stream) == 1


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


async def test_nothing_is_made_where_that_is_off(nc: Client, nats_url: str, tmp_path: Path) -> None:
    """DLQ_CREATE=false: a missing stream or subject is a fault, and no message is lost by it."""
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="SRC", subjects=["src.a"]))
    await publish(js, event("a", "dead"), subject="src.a")
    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(
            tmp_path, nats_url, FUNCTION_URL=function.url, TOPICS="src.*", DLQ_CREATE="false"
        ).start() as connector,
    ):

        def fault() -> str:
            return next((str(b["fault"]) for b in connector.state().get("bindings", [])), "")

        wait_until(lambda: "no stream SRC_DLQ" in fault())
        assert "make it with the subjects dlq.SRC.>" in fault()
        assert function.calls() == []
        assert connector.metrics()["unbound_functions"] == 1
        mine = StreamConfig(name="SRC_DLQ", subjects=["dlq.other"])
        await js.add_stream(mine)
        wait_until(lambda: "add the subjects dlq.SRC.> to it" in fault())
        mine.subjects = ["dlq.SRC.>"]
        await js.update_stream(mine)
        await eventually(lambda: _holds(nc, "SRC_DLQ"))
        wait_until(lambda: fault() == "None")

        # and one that goes while messages are delivered
        await js.delete_stream("SRC_DLQ")
        await publish(js, event("b", "dead"), subject="src.a")
        wait_until(lambda: "dead messages are held: there is no stream SRC_DLQ" in fault())
        await js.add_stream(mine)
        await eventually(lambda: _holds(nc, "SRC_DLQ"))
        wait_until(lambda: fault() == "None")
    (letter,) = await dead_letters(js, "SRC_DLQ")
    assert json.loads(letter.data)["eventId"] == "b"
