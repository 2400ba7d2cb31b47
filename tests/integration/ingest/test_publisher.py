"""The publisher's connection to a real NATS."""

from functions.ingest.publisher import Publisher
from functions.ingest.settings import IngestSettings


async def test_a_connection_that_was_closed_for_good_is_made_again(nats_url: str) -> None:
    publisher = Publisher(IngestSettings(nats_url=nats_url))  # type: ignore[call-arg]
    await publisher.ready()
    connection = publisher._nc
    assert connection is not None
    await connection.close()  # as the client does when the server refuses its credentials
    assert publisher.fault() == "the connection is lost"
    await publisher.ready()
    assert publisher.fault() is None
    await publisher.publish({"facebook": [b"{}"]}, [], "call")
    assert publisher._nc is not None
    await publisher._nc.close()
