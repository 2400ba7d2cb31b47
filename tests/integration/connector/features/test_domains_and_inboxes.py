"""NATS servers that others run: leaf nodes, accounts that share their streams, narrow users."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.support.connector import ConnectorProcess
from tests.support.connector_work import work
from tests.support.net import free_port, wait_until
from tests.support.protected_nats import Protected, server


@contextmanager
def leaf_node(folder: Path, *, hub_has_jetstream: bool) -> Iterator[tuple[str, str]]:
    """Run a hub and a leaf node whose JetStream is the domain `edge`; yield both URLs."""
    leaves = free_port()
    hub: dict[str, Any] = {"leafnodes": {"host": "127.0.0.1", "port": leaves}}
    if hub_has_jetstream:
        hub["jetstream"] = {"store_dir": str(folder / "hub-store"), "domain": "hub"}
    else:
        hub["jetstream"] = "disabled"
    leaf = {
        "jetstream": {"store_dir": str(folder / "leaf-store"), "domain": "edge"},
        "leafnodes": {"remotes": [{"url": f"nats://127.0.0.1:{leaves}"}]},
    }
    with (
        server(folder, Protected(hub, {}, {}), "hub") as hub_url,
        server(folder, Protected(leaf, {}, {}), "leaf") as leaf_url,
    ):
        yield hub_url, leaf_url


@pytest.mark.parametrize("hub_has_jetstream", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_jetstream_of_another_domain(hub_has_jetstream: bool, tmp_path: Path) -> None:
    """NATS_JS_DOMAIN: the connector is at the hub, the streams are at a leaf node."""
    with leaf_node(tmp_path, hub_has_jetstream=hub_has_jetstream) as (hub, leaf):
        nc = await nats.connect(leaf)
        await work(nc, hub, tmp_path, NATS_JS_DOMAIN="edge")
        await nc.close()


@pytest.mark.slow
async def test_jetstream_of_another_account(tmp_path: Path) -> None:
    """NATS_JS_API_PREFIX: the connector's account imports the API of the streams' account."""
    services = {
        "$JS.API.>": "JS.S.API.>",
        "$KV.connector-attempts.>": "JS.S.API.$KV.connector-attempts.>",
        "$JS.ACK.>": "$JS.ACK.>",
        "dlq.>": "dlq.>",
        "redrive.>": "redrive.>",
        "orders.>": "orders.>",
    }
    config = {
        "accounts": {
            "OWNER": {
                "jetstream": "enabled",
                "users": [{"user": "owner", "password": "o"}],
                "exports": [{"service": each, "response": "stream"} for each in services],
            },
            "GUEST": {
                "users": [{"user": "guest", "password": "g"}],
                "imports": [
                    {"service": {"account": "OWNER", "subject": theirs}, "to": ours}
                    for theirs, ours in services.items()
                ],
            },
        }
    }
    with server(tmp_path, Protected(config, {}, {})) as url:
        nc = await nats.connect(url, user="owner", password="o")
        guest = url.replace("//", "//guest:g@")
        await work(nc, guest, tmp_path, NATS_JS_API_PREFIX="JS.S.API")
        await nc.close()


async def test_a_user_with_an_inbox_of_its_own(tmp_path: Path) -> None:
    """NATS_INBOX_PREFIX: where the user may receive replies; what is missing is told."""
    user = {
        "user": "guest",
        "password": "g",
        "permissions": {"publish": ">", "subscribe": ["replies.guest.>", "universe.connectors"]},
    }
    owner = {"user": "owner", "password": "o"}
    with server(tmp_path, Protected({"authorization": {"users": [owner, user]}}, {}, {})) as url:
        nc = await nats.connect(url, user="owner", password="o")
        guest = url.replace("//", "//guest:g@")
        with ConnectorProcess(
            tmp_path, guest, "narrow", FUNCTION_URL="http://127.0.0.1:1", TOPICS="orders.>"
        ).start() as narrow:
            wait_until(lambda: bool(narrow.state().get("unbound")))
            fault = narrow.state()["unbound"]["function"]
            assert 'may not subscribe to "_INBOX.guest.' in fault
            assert "set NATS_INBOX_PREFIX" in fault
        await work(nc, guest, tmp_path, NATS_INBOX_PREFIX="replies.guest")
        await nc.close()
