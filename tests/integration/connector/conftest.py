"""What tests of the connector use: NATS, a function, a gateway, and a connector of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction, FakeGateway
from tests.support.jetstream import streams


@pytest.fixture
async def nc(nats_url: str) -> AsyncIterator[Client]:
    """A client of the session's NATS server."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def js(nc: Client) -> JetStreamContext:
    """JetStream with the streams of the platform, empty."""
    return await streams(nc)


@pytest.fixture
def function(tmp_path: Path) -> Iterator[FakeFunction]:
    """A function that says yes to everything."""
    with FakeFunction(tmp_path).start().ready() as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    """A gateway without functions."""
    with FakeGateway(tmp_path).start().ready() as running:
        yield running


@pytest.fixture
def connector_settings() -> dict[str, str]:
    """Settings of `connector`, for modules that need some."""
    return {}


@pytest.fixture
def connector(
    nats_url: str, tmp_path: Path, gateway: FakeGateway, connector_settings: dict[str, str]
) -> Iterator[ConnectorProcess]:
    """A connector of that gateway."""
    with ConnectorProcess(
        tmp_path, nats_url, GATEWAY_URL=gateway.url, **connector_settings
    ).start() as running:
        yield running
