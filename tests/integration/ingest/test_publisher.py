"""The publisher's connection to a real NATS."""

from functions.ingest.publisher import Publisher
from functions.ingest.settings import IngestSettings


async def test_a_connection_that_was_closed_for_good_is_made_again(nats_url: str) -> None:
    publisher = Publisher(IngestSettings(nats_url=nats_url))
    await publisher.ready()
    connection = publisher._nc
    assert connection is not None
    await connection.close()  # as the client does when the server refuses its credentials
    assert connection.is_closed
    await publisher.ready()
    assert publisher._nc is not None
    assert publisher._nc.is_connected
    await publisher.publish({"facebook": [b"{}"]}, [], "call")
    await publisher._nc.close()
