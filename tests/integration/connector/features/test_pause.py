"""A function that is paused gets nothing, by any connector, and what runs ends in peace."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext

from infra.connector.command_line.commands import connector as commands
from infra.connector.dlq.command import dlq
from tests.support.commands import invoke
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import backlog, dead_letters, drained, event, publish, streams
from tests.support.net import wait_until
from tests.support.protected_nats import Protected, server
from tests.support.tools import go_tool

OLD_NATS = ("github.com/nats-io/nats-server/v2", "v2.10.29")
"""The last minor version that cannot pause consumers."""


@pytest.fixture
def connector_settings() -> dict[str, str]:
    """Looks are so seldom that only the command can have told it."""
    return {"SCALE_INTERVAL": "20s"}


def pause(
    connector: ConnectorProcess,
    gateway: FakeGateway,
    function: FakeFunction,
    paused: str,
    **options: str,
) -> None:
    """Set the annotation, and wait until the connector goes by it."""
    gateway.serve(subscribed("fn", function, "events.>", paused=paused, **options))
    wait_until(lambda: [bool(b["paused"]) for b in connector.bindings()] == [paused == "true"])


async def test_pause_and_resume_by_command(
    js: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    nats_url: str,
    tmp_path: Path,
) -> None:
    gateway.serve(subscribed("fn", function, "events.>", concurrency="1"))
    connector.bound()

    def run(*arguments: str, status: int = 0) -> str:
        result = invoke(commands, *arguments, environment={"NATS_URL": nats_url})
        assert result.exit_code == status, result.output
        return result.output

    go_on = tmp_path / "go-on"
    function.mode(until=str(go_on))
    await publish(js, event("running"), event("waiting"), event("later"))
    wait_until(lambda: len(function.calls()) == 1)
    assert run("pause", "fn") == "paused consumer fn of stream EVENTS until `resume`\n"
    wait_until(lambda: connector.bindings()[0]["paused"] == {"by": "nats", "until": None})
    assert connector.metrics()["delivery_paused"] == 2
    assert any("resume fn, or nats consumer" in s for s in connector.bindings()[0]["explanation"])
    go_on.touch()
    await drained(js, left=2)
    wait_until(lambda: connector.bindings()[0]["messagesInFlight"] == 0)
    assert (len(function.calls()), function.done()) == (1, ["running"])
    assert "resumed consumer fn" in run("resume", "fn")
    await drained(js)
    assert sorted(function.done()) == ["later", "running", "waiting"]
    assert connector.bindings()[0]["paused"] is None
    assert "for 10m" in run("pause", "fn", "--for", "10m")
    wait_until(lambda: (connector.bindings()[0]["paused"] or {}).get("until"))
    assert "no connector has made a consumer for nobody" in run("pause", "nobody", status=1)


@pytest.mark.slow
async def test_a_server_that_is_too_old_is_told(
    function: FakeFunction, gateway: FakeGateway, tmp_path: Path
) -> None:
    """The annotation pauses there, too."""
    with (
        server(tmp_path, Protected({}, {}, {}), program=go_tool(*OLD_NATS)) as url,
        ConnectorProcess(tmp_path, url, GATEWAY_URL=gateway.url).start() as connector,
    ):
        nc = await nats.connect(url)
        js = await streams(nc)
        pause(connector, gateway, function, "true")
        for command in ("pause", "resume"):
            result = invoke(commands, command, "fn", environment={"NATS_URL": url})
            assert result.exit_code == 1
            assert result.output == (
                "Error: the NATS server is 2.10.29, and pauses consumers from 2.11 on: upgrade it, "
                "or use the annotation jetstream.paused, which works with any\n"
            )
        await publish(js, event("a"))
        assert (await backlog(js), function.calls()) == (1, [])
        pause(connector, gateway, function, "false")
        await drained(js)
        assert function.done() == ["a"]
        await nc.close()


@pytest.mark.slow
async def test_pause_by_annotation(
    js: JetStreamContext, function: FakeFunction, gateway: FakeGateway, connector: ConnectorProcess
) -> None:
    def serve(paused: str) -> None:
        gateway.serve(subscribed("fn", function, "events.>", paused=paused))

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


@pytest.mark.slow
async def test_a_message_that_is_split_is_not_lost_by_a_short_pause(
    js: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    tmp_path: Path,
) -> None:
    """One half of it runs from before the pause until after it, the other half waits."""

    def serve(paused: str) -> None:
        pause(connector, gateway, function, paused, concurrency="1", batch_size="10")

    gates = [tmp_path / f"gate-{number}" for number in range(3)]
    function.mode(until=str(gates[0]))
    serve("false")
    await publish(js, [event("a"), event("bad", "status:500")], counted=True)
    for number in (1, 2):
        wait_until(lambda number=number: len(function.calls()) == number)
        function.mode(until=str(gates[number]))
        gates[number - 1].touch()
    wait_until(lambda: ["EVENTS:1/0-0"] in function.calls())
    serve("true")
    serve("false")
    gates[2].touch()
    await drained(js)
    assert len(await dead_letters(js)) == 1
    assert "a" in function.done()


@pytest.mark.slow
async def test_what_is_replayed_waits_as_well(
    js: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    nats_url: str,
) -> None:
    def serve(rate: str) -> None:
        """Change something, to see that the connector has looked for functions."""
        gateway.serve(subscribed("fn", function, "events.>", rate=rate, batch_size="10"))
        wait_until(lambda: [b["rate"] for b in connector.bindings()] == [float(rate)])

    environment = {"NATS_URL": nats_url}
    serve("1000")
    await publish(js, event("bad", "once:dead-message"))
    await drained(js)
    assert invoke(commands, "pause", "fn", environment=environment).exit_code == 0
    wait_until(lambda: connector.bindings()[0]["paused"])
    assert invoke(dlq, "replay", "--id", "1", environment=environment).exit_code == 0
    serve("2000")
    assert (await backlog(js, "EVENTS_REDRIVE"), len(function.calls())) == (1, 1)
    assert invoke(commands, "resume", "fn", environment=environment).exit_code == 0
    wait_until(lambda: len(function.calls()) == 2)


@pytest.mark.slow
async def test_order_is_kept_over_a_pause(
    js: JetStreamContext,
    function: FakeFunction,
    gateway: FakeGateway,
    connector: ConnectorProcess,
    tmp_path: Path,
) -> None:
    """The first message of a key fails during the pause, after the second had begun to wait."""

    def serve(paused: str) -> None:
        pause(connector, gateway, function, paused, order_by="subject", batch_size="1")

    go_on = tmp_path / "go-on"
    function.mode(until=str(go_on))
    serve("false")
    await publish(js, event("a", "once:retry"), *(event(f"{n}") for n in range(9)))
    wait_until(lambda: len(function.calls()) == 1)
    serve("true")
    go_on.touch()
    wait_until(lambda: connector.bindings()[0]["invocations"] == 0)
    serve("false")
    await drained(js)
    assert function.done() == ["a", *(f"{n}" for n in range(9))]
