"""NATS as the tests of the connector use it: a client of its own, and the streams."""

from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

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
