"""A function that is paused gets nothing, by any connector, and what runs ends in peace."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from nats.js import JetStreamContext

from infra.connector.command_line.commands import connector as commands
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, deployed, jetstream_annotations
from tests.support.jetstream import backlog, drained, event, publish
from tests.support.net import wait_until


@pytest.fixture
def connector_settings() -> dict[str, str]:
    """Looks are so seldom that only the command can have told it."""
    return {"SCALE_INTERVAL": "20s"}


async def test_pause_and_resume_by_command(
    js: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    nats_url: str,
    tmp_path: Path,
) -> None:
    given = {"topic": "events.>", **jetstream_annotations(concurrency="1")}
    gateway.serve(deployed("fn", function.url, annotations=given))
    connector.bound()

    async def run(*arguments: str, status: int = 0) -> str:
        given = [*arguments, "--nats-url", nats_url]
        result = await asyncio.to_thread(CliRunner().invoke, commands, given)
        assert result.exit_code == status, result.output
        return result.output

    go_on = tmp_path / "go-on"
    function.mode(until=str(go_on))
    await publish(js, event("running"), event("waiting"), event("later"))
    wait_until(lambda: len(function.calls()) == 1)
    assert await run("pause", "fn") == "paused consumer fn of stream EVENTS until `resume`\n"
    wait_until(lambda: connector.bindings()[0]["paused"] == {"by": "nats", "until": None})
    assert connector.metrics()["delivery_paused"] == 2
    assert any("resume fn, or nats consumer" in s for s in connector.bindings()[0]["explanation"])
    go_on.touch()
    await drained(js, left=2)
    wait_until(lambda: connector.bindings()[0]["messagesInFlight"] == 0)
    assert (len(function.calls()), function.done()) == (1, ["running"])
    assert "resumed consumer fn" in await run("resume", "fn")
    await drained(js)
    assert sorted(function.done()) == ["later", "running", "waiting"]
    assert connector.bindings()[0]["paused"] is None
    assert "for 10m" in await run("pause", "fn", "--for", "10m")
    wait_until(lambda: (connector.bindings()[0]["paused"] or {}).get("until"))
    assert "no connector has made a consumer for nobody" in await run("pause", "nobody", status=1)


async def test_pause_by_annotation(
    js: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    def serve(paused: str) -> None:
        given = {"topic": "events.>", **jetstream_annotations(paused=paused)}
        gateway.serve(deployed("fn", function.url, annotations=given))

    until = (datetime.now(UTC) + timedelta(hours=9)).isoformat(timespec="seconds")
    serve(until)
    connector.bound()
    await publish(js, event("a"))
    assert connector.bindings()[0]["paused"] == {"by": "annotation", "until": until}
    assert connector.metrics()["delivery_paused"] == 1
    assert any(
        "it is paused by jetstream.paused for another 9 h" in sentence
        for sentence in connector.bindings()[0]["explanation"]
    )
    serve("true")
    wait_until(lambda: connector.bindings()[0]["paused"] == {"by": "annotation", "until": None})
    assert (await backlog(js), function.calls()) == (1, [])
    serve((datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    await drained(js)
    assert function.done() == ["a"]
    serve("soon")
    wait_until(lambda: "not true, false, or a time" in connector.state()["unbound"].get("fn", ""))
