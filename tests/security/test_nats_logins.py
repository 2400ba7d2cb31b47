"""Protects: NATS with a login in the overlays, and each user with the rights that it needs.

The server runs with the configuration that kustomize renders, the components are real processes.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, TimeoutError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from functions.common.broker import BrokerSettings, connect, ensure_streams
from functions.common.paths import ROOT
from infra.connector.delivery.message import MessageKey
from infra.connector.delivery.pull_sizer import PullSizer
from infra.connector.jetstream.attempt_store import AttemptStore, Charges
from infra.connector.jetstream.consumer import Consumer, ConsumerTarget
from infra.monitoring.exporter.jetstream import JetStreamCollector
from tests.support.cluster_nats import ClusterNats, configuration, nats_servers
from tests.support.connector import ConnectorProcess
from tests.support.exporter import exporter
from tests.support.fakes import FakeFunction
from tests.support.functions import running
from tests.support.jetstream import backlog, dead_letters, drained
from tests.support.manifests import copy, render
from tests.support.net import eventually, plain_http
from tests.support.stored_events import generated

LIMIT = 64 * 1024**2
"""Bytes of each stream: the disk of this machine may be smaller than what a cluster has."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterNats]:
    tree = copy(tmp_path_factory.mktemp("tree"))
    files = configuration(render(tree / "infra/kubernetes/overlays/single-node"))
    with nats_servers(files, tmp_path_factory.mktemp("servers"), 1) as [server]:
        yield server


@pytest.fixture
async def admin(server: ClusterNats) -> AsyncIterator[JetStreamContext]:
    nc = await eventually(lambda: connected(server.url("admin")), 30)
    assert nc
    yield nc.jetstream()
    await nc.close()


async def connected(url: str, user: str | None = None) -> Client | None:
    """Return a connection, or None where the server is not there yet or refuses."""
    faults: list[Exception] = []

    async def note(error: Exception) -> None:
        faults.append(error)

    prefix = f"_INBOX.{user}" if user else "_INBOX"
    try:
        nc = await nats.connect(
            url, allow_reconnect=False, error_cb=note, inbox_prefix=prefix, connect_timeout=5
        )
    except (NatsError, OSError):
        return None
    nc.options["faults"] = faults
    return nc


async def refused(nc: Client, subject: str, payload: bytes = b"") -> bool:
    """Return whether the server refuses a publication to the subject for want of rights."""
    faults = nc.options["faults"]
    faults.clear()
    await nc.publish(subject, payload)
    await nc.flush()
    await asyncio.sleep(0.05)
    return any("permissions violation" in str(fault).lower() for fault in faults)


async def cannot_subscribe(nc: Client, subject: str) -> bool:
    faults = nc.options["faults"]
    faults.clear()
    await nc.subscribe(subject)
    await nc.flush()
    await asyncio.sleep(0.05)
    return any("permissions violation" in str(fault).lower() for fault in faults)


async def test_nobody_connects_without_a_login(
    server: ClusterNats, admin: JetStreamContext
) -> None:
    """No login, a wrong password and an unknown user are refused."""
    host = f"127.0.0.1:{server.port}"
    for url in (
        server.bare_url,
        f"nats://ingest:wrong@{host}",
        f"nats://stranger:{server.passwords['ingest']}@{host}",
        f"nats://ingest:{server.passwords['connector']}@{host}",
    ):
        assert await connected(url) is None


async def test_rights_suffice_for_what_the_components_ask(
    server: ClusterNats, admin: JetStreamContext
) -> None:
    """The requests of ingest, the connector and the exporter are answered, each with its login."""
    settings = {
        user: BrokerSettings.model_validate(
            {"nats_url": server.url(user), "stream_max_bytes": LIMIT, "dlq_max_bytes": LIMIT}
        )
        for user in ("ingest", "connector", "exporter")
    }
    nc = await connect(settings["ingest"], "ingest")
    await ensure_streams(nc.jetstream(), settings["ingest"])
    await nc.jetstream().publish("events.facebook", b"{}")
    await nc.jetstream().publish("dlq.EVENTS.events.facebook", b"{}")
    await nc.close()

    nc = await connect(settings["connector"], "connector")
    js = nc.jetstream()
    target = ConsumerTarget("EVENTS", "connector", "process-batch", ("events.>",))
    await Consumer(nc, js, target, PullSizer(10, 1024**2)).ensure()
    subscription = await js.pull_subscribe_bind("connector", "EVENTS")
    for message in await subscription.fetch(1, timeout=5):
        await message.ack_sync()
    store, keys = AttemptStore(nc, js, "EVENTS", "connector"), [MessageKey(n, 1) for n in range(9)]
    assert await store.load(keys) == {}, "there is no bucket yet"
    await store.save({key: Charges(2, 3) for key in keys})
    assert await store.load(keys[:1]) == {keys[0]: Charges(2, 3)}
    assert await store.load(keys) == dict.fromkeys(keys, Charges(2, 3))
    await nc.close()

    collector = JetStreamCollector(settings["exporter"])
    metrics = {metric.name: metric for metric in await collector.collect()}
    assert metrics["universe_jetstream_up"].samples[0].value == 1
    assert metrics["universe_consumer_pending_messages"].samples
    assert metrics["universe_dlq_messages"].samples
    await collector.close()
    await admin.purge_stream("EVENTS_DLQ")
    await admin.delete_consumer("EVENTS", "connector")


@pytest.mark.slow
async def test_components_do_their_work_with_their_own_logins(
    server: ClusterNats, admin: JetStreamContext, tmp_path: Path
) -> None:
    """The rights suffice: ingest publishes, the connector delivers, the exporter counts."""
    folders = {}
    for user in ("ingest", "connector", "exporter"):
        folders[user] = str(tmp_path / user)
        (tmp_path / user).mkdir()
        (tmp_path / user / "nats-url").write_text(server.url(user))
    valid = generated(3, until=datetime.now(UTC))
    body = json.dumps([valid[0], valid[1] | {"do": "dead"}, valid[2], {"source": "facebook"}])
    limits = {"STREAM_MAX_BYTES": str(LIMIT), "DLQ_MAX_BYTES": str(LIMIT)}
    environment = {"SECRETS_DIR": folders["ingest"], **limits}
    with running("functions.ingest.handler", tmp_path / "ingest.log", **environment) as ingest:
        answer = plain_http.post(f"{ingest.url}/webhook/event", content=body, timeout=30)
        assert answer.status_code == 202, answer.text + ingest.log.read_text()
        assert answer.json()["accepted"] == 3, answer.text
        log = ingest.log.read_text()
        assert "connected to NATS" in log
        assert not [p for p in server.passwords.values() if p in log], "a password is in the log"
    assert [letter.subject for letter in await dead_letters(admin)] == [
        "dlq.EVENTS.events.facebook"
    ]

    with (
        FakeFunction(tmp_path).start().ready() as function,
        ConnectorProcess(
            tmp_path, "", FUNCTION_URL=function.url, SECRETS_DIR=folders["connector"], **limits
        ) as connector,
    ):
        connector.start().bound()
        await drained(admin, 30)
        assert await backlog(admin, "EVENTS_DLQ") == 2
        assert "told to refuse" in dlq(folders["connector"], "list")
        before = (await admin.stream_info("EVENTS_DLQ")).state
        dlq(folders["connector"], "replay", "--all")

        async def refused_again() -> bool:
            state = (await admin.stream_info("EVENTS_DLQ")).state
            return (state.messages, state.last_seq) == (1, before.last_seq + 1)

        await eventually(refused_again, 30)  # one of the two
    with exporter(tmp_path / "exporter.log", SECRETS_DIR=folders["exporter"]) as running_exporter:
        samples = running_exporter.scrape()
        assert samples.value("universe_jetstream_up") == 1
        assert samples.value("universe_stream_messages", stream="EVENTS_DLQ", retention="limits")
        assert samples.all("universe_consumer_pending_messages")
        assert samples.all("universe_dlq_messages")
    dlq(folders["connector"], "purge", "--all", "--yes")
    assert await backlog(admin, "EVENTS_DLQ") == 0


def dlq(secrets: str, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "NATS_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "infra.connector", "dlq", *arguments],
        env={**environment, "SECRETS_DIR": secrets, "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


EVERYBODYS = ("_INBOX.>", "_INBOX.admin.>", ">", "$SYS.>", "$JS.>")
FORBIDDEN = {
    "ingest": (
        ("events", "dlq.other", "$JS.ACK.EVENTS.connector.1.1.1.1.1",
         "$JS.API.CONSUMER.LIST.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS_DLQ.x",
         "$JS.API.CONSUMER.MSG.NEXT.EVENTS.connector",
         "$JS.API.STREAM.MSG.GET.EVENTS", "$JS.API.DIRECT.GET.EVENTS_DLQ",
         "$JS.API.STREAM.MSG.DELETE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS",
         "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.CREATE.OTHER", "_INBOX.connector.x"),
        ("events.>", "dlq.>", "_INBOX.connector.>"),
    ),
    "connector": (
        ("$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS", "other",
         "$JS.API.STREAM.MSG.DELETE.EVENTS", "$JS.API.STREAM.UPDATE.EVENTS",
         "$JS.API.STREAM.DELETE.EVENTS_DLQ", "_INBOX.ingest.x"),
        ("events.>", "dlq.>", "_INBOX.ingest.>"),
    ),
    "exporter": (
        ("events.facebook", "dlq.EVENTS.events.facebook", "$JS.API.STREAM.MSG.GET.EVENTS",
         "$JS.API.DIRECT.GET.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS.x",
         "$JS.API.STREAM.UPDATE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS_DLQ",
         "$JS.ACK.EVENTS.connector.1.1.1.1.1"),
        ("events.>", "dlq.>", "_INBOX.connector.>"),
    ),
}  # fmt: skip
"""By user: what it may not publish to, and what it may not read."""


@pytest.mark.parametrize("user", FORBIDDEN)
async def test_a_user_may_do_nothing_else(
    server: ClusterNats, admin: JetStreamContext, user: str
) -> None:
    """A login that leaks does what its component does, and no more."""
    nc = await connected(server.url(user), user)
    assert nc
    publications, subscriptions = FORBIDDEN[user]
    for subject in publications:
        assert await refused(nc, subject), f"{user} publishes to {subject}"
    for subject in (*subscriptions, *EVERYBODYS):
        assert await cannot_subscribe(nc, subject), f"{user} reads {subject}"
    await nc.close()


async def test_a_consumer_of_ones_own_is_not_made_by_ingest(
    server: ClusterNats, admin: JetStreamContext
) -> None:
    """The login of ingest reads no stored event through JetStream's API."""
    nc = await connected(server.url("ingest"), "ingest")
    assert nc
    with pytest.raises((TimeoutError, NoRespondersError)):
        await nc.jetstream(timeout=0.5).add_consumer("EVENTS", ConsumerConfig(name="mine"))
    await nc.close()
