"""The rights of the connector's NATS user: those that its page lists suffice, and are needed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy

from functions.common.paths import ROOT
from infra.connector.command_line.commands import connector as connector_commands
from infra.connector.dlq.command import dlq
from tests.support.commands import invoke
from tests.support.connector import ConnectorProcess
from tests.support.connector_work import DLQ, REFUSED, command
from tests.support.fakes import FakeFunction, FakeGateway, subscribed
from tests.support.jetstream import backlog, event, publish
from tests.support.net import eventually, wait_until
from tests.support.protected_nats import server_with

PAGE = (ROOT / "infra/connector/nats.md").read_text()
[USERS] = re.findall(r"```conf\n(.*?)```", PAGE, re.S)
RIGHTS = {
    user: re.findall(r'"([^"]+)"', publications)
    for user, publications in re.findall(r"user: (\w+)\n.*?publish: \[(.*?)\n {8}\]", USERS, re.S)
}
"""What each user of the page may publish."""
OF_FEATURES = RIGHTS["connector"][RIGHTS["connector"].index("$KV.connector-owners.>") :]
"""The rights that the connector needs for annotations and settings that name them."""


@contextmanager
def protected(folder: Path, users: str) -> Iterator[str]:
    """Run a server with users of the page, and with the owner of the stream."""
    users = users.replace("users: [", 'users: [{user: owner, password: "o"}', 1)
    environment = {"CONNECTOR_PASSWORD": "c", "OPERATOR_PASSWORD": "p"}
    with server_with(folder, users, **environment) as port:
        yield f"127.0.0.1:{port}"


def without(user: str, right: str) -> str:
    """Return the page's users, one of them without a right."""
    before, mine = USERS.split(f"user: {user}", 1)
    return before + f"user: {user}" + mine.replace(f'"{right}"', "", 1)


QUICK = {"ORPHAN_TIMEOUT": "100ms", "DISCOVERY_INTERVAL": "50ms"}


async def make_streams(js: JetStreamContext) -> None:
    """Make the streams of the page, and one that is no business of its users."""
    work_queue = RetentionPolicy.WORK_QUEUE
    await js.add_stream(name="ORDERS", subjects=["orders.>"], retention=work_queue)
    for name in ("bills", "failed", "theirs"):
        await js.add_stream(name=name.upper(), subjects=[name])


def ordered_and_gone(function: FakeFunction) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a function with all features that need rights, and one that is to be removed."""
    options = {"order_by": "subject", "max_concurrency": "2", "rate": "500", "batch_size": "9"}
    topics = {"result_topic": "bills", "error_topic": "failed"}
    return (
        subscribed("ordered", function, "orders.a", **options, **topics),
        subscribed("gone", function, "orders.b"),
    )


async def test_the_rights_of_the_page_suffice(tmp_path: Path) -> None:
    """Delivery, retries, dead letters, order, limits, results, orphans, and all commands."""
    with protected(tmp_path, USERS) as host:
        nc = await nats.connect(f"nats://owner:o@{host}")
        js = nc.jetstream()
        await make_streams(js)
        environment = {"NATS_URL": f"nats://operator:p@{host}", "COLUMNS": "200"}

        def run(*arguments: str) -> str:
            group = dlq if arguments[0] == "dlq" else connector_commands
            rest = arguments[1:] if group is dlq else arguments
            done = invoke(group, *rest, environment=environment)
            assert done.exit_code == 0, done.output
            return done.output

        with (
            FakeFunction(tmp_path).start().ready() as function,
            FakeGateway(tmp_path).start().ready() as gateway,
            ConnectorProcess(
                tmp_path,
                f"nats://connector:c@{host}",
                GATEWAY_URL=gateway.url,
                **QUICK,
            ).start() as connector,
        ):
            ordered, gone = ordered_and_gone(function)
            gateway.serve(ordered, gone)
            connector.bound(2)
            events = [event("a", "result:1"), event("b", "once:retry"), event("c", "dead-message")]
            await publish(js, *events, subject="orders.a")

            async def published() -> bool:
                return (await backlog(js, "BILLS"), await backlog(js, "FAILED")) == (1, 1)

            await eventually(published)
            wait_until(lambda: function.done() == ["a", "b"])
            assert await backlog(js, "KV_connector-attempts") == 1
            assert "all of it" in run("dlq", "list", "--stream", DLQ)
            assert "paused consumer ordered of stream ORDERS" in run("pause", "ordered")
            wait_until(lambda: any(b["paused"] for b in connector.bindings()))
            replay = ("dlq", "replay", "--function", "ordered", "--rate", "9", "--stream", DLQ)
            assert "1 replayed" in run(*replay)
            assert "resumed consumer ordered of stream ORDERS" in run("resume", "ordered")
            wait_until(lambda: ["ORDERS_REDRIVE:1"] in function.calls())
            assert "no message waits" in run("explain", "ordered", "--url", connector.url)
            gateway.serve(ordered)
            wait_until(lambda: "removed consumer gone of stream" in connector.log.read_text())
            assert {info.name for info in await js.consumers_info("ORDERS")} == {"ordered"}
            assert connector.stop() == 0
        assert REFUSED not in connector.log.read_text()
        replay = ("dlq", "replay", "--all", "--to-stream", "--stream", DLQ)
        assert "1 replayed" in run(*replay)
        assert "removed consumer ordered of stream ORDERS" in run("forget", "ordered")
        assert "0 deleted" in run("dlq", "purge", "--all", "--yes", "--stream", DLQ)
        await nc.close()


async def test_a_missing_right_is_a_fault_that_names_the_subject(tmp_path: Path) -> None:
    right = "$JS.API.CONSUMER.CREATE.ORDERS.*"
    with protected(tmp_path, without("connector", right)) as host:
        nc = await nats.connect(f"nats://owner:o@{host}")
        await nc.jetstream().add_stream(name="ORDERS", subjects=["orders.>"])
        with ConnectorProcess(
            tmp_path,
            f"nats://connector:c@{host}",
            FUNCTION_URL="http://127.0.0.1:1",
            TOPICS="orders.>",
        ).start() as connector:

            def fault() -> str:
                return next((str(b["fault"]) for b in connector.state().get("bindings", [])), "")

            subject = "$JS.API.CONSUMER.CREATE.ORDERS.function"
            wait_until(lambda: f'the NATS user may not publish to "{subject}"' in fault())
        await nc.close()


def refused(right: str, mark: str = '"') -> re.Pattern[str]:
    """Return what a text holds where a right is said to be missing."""
    subject = re.escape(right).replace(r"\*", r"[^.]+").replace(">", ".+")
    return re.compile(re.escape(f"may not publish to {mark}") + subject + re.escape(mark))


READ_AFTER_A_KILL = {
    "$JS.API.STREAM.INFO.KV_connector-attempts": 20,
    "$JS.API.STREAM.MSG.GET.KV_connector-attempts": 2,
}
"""Rights to read attempts: of many messages, and of few, that another has had before."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "right", [r for r in RIGHTS["connector"] if "REDRIVE" not in r and r not in OF_FEATURES]
)
async def test_each_right_of_the_connector_is_needed(right: str, tmp_path: Path) -> None:
    """Without it, the log names the subject."""
    with protected(tmp_path, without("connector", right)) as host:
        nc = await nats.connect(f"nats://owner:o@{host}")
        js = nc.jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders.>"], retention="workqueue")
        if "UPDATE" in right:
            await js.add_stream(name=DLQ, subjects=["dlq.other"])
        told = refused(right, '\\"')
        with (
            FakeFunction(tmp_path).start().ready() as function,
            ConnectorProcess(
                tmp_path,
                f"nats://connector:c@{host}",
                FUNCTION_URL=function.url,
                TOPICS="orders.>",
            ).start() as connector,
        ):
            if right in READ_AFTER_A_KILL:
                go = tmp_path / "go"
                function.mode(until=str(go))
                number = READ_AFTER_A_KILL[right]
                await publish(js, *map(str, range(number)), subject="orders.de")
                wait_until(lambda: sum(map(len, function.calls())) == number)
                connector.kill()
                go.touch()
                connector.start()
            else:
                events = [event("bad", "dead"), event("again", "once:retry")]
                await publish(js, *events, event("held", "retry:60"), subject="orders.de")
            wait_until(lambda: bool(told.search(connector.log.read_text())), 60)
        await nc.close()


@pytest.mark.slow
@pytest.mark.parametrize("right", OF_FEATURES)
async def test_each_right_of_a_feature_is_needed(right: str, tmp_path: Path) -> None:
    """Without it, the log names the subject."""
    with protected(tmp_path, without("connector", right)) as host:
        nc = await nats.connect(f"nats://owner:o@{host}")
        js = nc.jetstream()
        await make_streams(js)
        told = refused(right, '\\"')
        with (
            FakeFunction(tmp_path).start().ready() as function,
            FakeGateway(tmp_path).start().ready() as gateway,
            ConnectorProcess(
                tmp_path, f"nats://connector:c@{host}", GATEWAY_URL=gateway.url, **QUICK
            ).start() as connector,
        ):
            ordered, gone = ordered_and_gone(function)
            gateway.serve(ordered, gone)
            wait_until(lambda: "gone" in {b["function"] for b in connector.bindings()})
            events = [event("a", "result:1"), event("dead", "dead-message")]
            await publish(js, *events, subject="orders.a")
            gateway.serve(ordered)
            wait_until(lambda: bool(told.search(connector.log.read_text())))
        await nc.close()


NOT_MISSED = {
    "$JS.API.CONSUMER.INFO.ORDERS_DLQ.*",
    "$JS.API.CONSUMER.DELETE.ORDERS_DLQ.*",
    "universe.connectors",
}
"""Rights that only make something quicker: long reading, cleaning up, a pause."""


@pytest.mark.slow
@pytest.mark.parametrize("right", [r for r in RIGHTS["operator"] if r not in NOT_MISSED])
async def test_each_right_of_the_commands_is_needed(right: str, tmp_path: Path) -> None:
    """Without it, a command fails and names the subject."""
    with protected(tmp_path, without("operator", right)) as host:
        nc = await nats.connect(f"nats://owner:o@{host}")
        js = nc.jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders.>"], retention="workqueue")
        with (
            FakeFunction(tmp_path).start().ready() as function,
            ConnectorProcess(
                tmp_path, f"nats://connector:c@{host}", FUNCTION_URL=function.url, TOPICS="orders.>"
            )
            .start()
            .bound() as connector,
        ):
            await publish(js, *(event(n, "dead") for n in "abcd"), subject="orders.de")
            wait_until(lambda: connector.metrics().get("dead_messages_total", 0) == 4)
        operator = f"nats://operator:p@{host}"
        told = ""
        for arguments in (
            ("dlq", "list", "--stream", DLQ),
            ("dlq", "purge", "--id", "1", "--yes", "--stream", DLQ),
            ("dlq", "replay", "--id", "2", "--stream", DLQ),
            ("dlq", "replay", "--id", "3", "--to-stream", "--stream", DLQ),
            ("dlq", "purge", "--all", "--yes", "--stream", DLQ),
            ("pause", "function", "--stream", "ORDERS"),
            ("forget", "function", "--stream", "ORDERS"),
        ):
            told += command(operator, *arguments)
        assert refused(right).search(told.replace("\n", "")), told
        await nc.close()
