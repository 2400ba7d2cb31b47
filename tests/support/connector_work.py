"""All that a connector asks of NATS: it delivers, retries, dead-letters, replays and cleans up."""

import json
from pathlib import Path

from nats.aio.client import Client

from infra.connector.command_line.commands import connector as connector_commands
from infra.connector.dlq.command import dlq
from tests.support.commands import invoke
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction
from tests.support.jetstream import event
from tests.support.net import eventually, wait_until

STREAM = "ORDERS"
DLQ = "ORDERS_DLQ"
REFUSED = "may not"


def command(url: str, *arguments: str, **settings: str) -> str:
    """Run a command of the connector, and return what it says."""
    environment = {"NATS_URL": url, "COLUMNS": "200", **settings}
    group = dlq if arguments[0] == "dlq" else connector_commands
    rest = arguments[1:] if group is dlq else arguments
    return invoke(group, *rest, environment=environment).output


async def work(nc: Client, url: str, folder: Path, **settings: str) -> None:
    """Let a connector do all of it; everything has to succeed.

    Args:
        nc: a client where the stream ORDERS is to be.
        url: where the connector and the commands connect.
        folder: for its log.
        settings: how both reach JetStream.
    """
    js = nc.jetstream()
    await js.add_stream(name=STREAM, subjects=["orders.>"], retention="workqueue")

    async def settled() -> bool:
        dead = (await js.stream_info(DLQ)).state.messages
        return (await js.stream_info(STREAM)).state.messages == 0 and dead == 1

    with (
        FakeFunction(folder).start().ready() as function,
        ConnectorProcess(
            folder, url, FUNCTION_URL=function.url, TOPICS="orders.>", **settings
        ) as connector,
    ):
        connector.start().bound()
        for name, do in {"good": "", "again": "once:retry", "bad": "dead"}.items():
            await js.publish("orders.de", json.dumps(event(name, do)).encode())
        await eventually(settled)
        assert {"good", "again"} <= set(function.done())
        charged = (await js.stream_info("KV_connector-attempts")).state
        assert charged.messages >= 1, "attempts are kept on that side, too"
        wait_until(lambda: connector.metrics().get("lag_messages", 1.0) == 0.0)
        assert "told to refuse" in command(url, "dlq", "list", "--stream", DLQ, **settings)
        replay = ("dlq", "replay", "--all", "--stream", DLQ)
        calls = len(function.calls())
        told = command(url, *replay, **settings)
        assert "1" in told
        assert REFUSED not in told
        wait_until(lambda: len(function.calls()) > calls)
        await eventually(settled)
    told = command(url, *replay, "--to-stream", **settings)
    assert REFUSED not in told
    left = (await js.stream_info(STREAM)).state.messages
    assert left == 1, f"{left} messages: {told}"
    # in another domain a pull request outlives its connector for up to 30 s, and counts as one
    forget = ("forget", "function", "--stream", STREAM, *(["--force"] if settings else []))
    told = command(url, *forget, **settings)
    assert "removed consumer function" in told, told
    told = command(url, "dlq", "purge", "--all", "--yes", "--stream", DLQ, **settings)
    assert REFUSED not in told
