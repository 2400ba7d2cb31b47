"""The rights of the connector's NATS user: those that its page lists suffice, and are needed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest

from functions.common.paths import ROOT
from tests.support.connector import ConnectorProcess
from tests.support.connector_work import DLQ, REFUSED, command, work
from tests.support.fakes import FakeFunction
from tests.support.jetstream import event, publish
from tests.support.net import wait_until
from tests.support.protected_nats import server_with

PAGE = (ROOT / "infra/connector/nats.md").read_text()
[USERS] = re.findall(r"```conf\n(.*?)```", PAGE, re.S)
RIGHTS = {
    user: re.findall(r'"([^"]+)"', publications)
    for user, publications in re.findall(r"user: (\w+)\n.*?publish: \[(.*?)\n {8}\]", USERS, re.S)
}
"""What each user of the page may publish."""


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


async def test_the_rights_of_the_page_suffice(tmp_path: Path) -> None:
    """Delivery, retries, dead letters, replay and the commands, with the users of the page."""
    with protected(tmp_path, USERS) as host:
        nc = await nats.connect(f"nats://owner:o@{host}")
        connector = await work(
            nc, f"nats://connector:c@{host}", tmp_path, operator=f"nats://operator:p@{host}"
        )
        assert REFUSED not in connector.log.read_text()
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
@pytest.mark.parametrize("right", [r for r in RIGHTS["connector"] if "REDRIVE" not in r])
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


FOR_SLOW_READERS = {
    "$JS.API.CONSUMER.INFO.ORDERS_DLQ.*",
    "$JS.API.CONSUMER.DELETE.ORDERS_DLQ.*",
}
"""Rights that are used when reading takes long, or whose lack only lets the server clean up."""


@pytest.mark.slow
@pytest.mark.parametrize("right", [r for r in RIGHTS["operator"] if r not in FOR_SLOW_READERS])
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
            ("forget", "function", "--stream", "ORDERS"),
        ):
            told += command(operator, *arguments)
        assert refused(right).search(told.replace("\n", "")), told
        await nc.close()
