"""Messages that the connector publishes itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

MAX_CONCURRENT_PUBLISHES = 100
PUBLISH_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Outgoing:
    """A message to publish."""

    subject: str
    payload: bytes
    headers: dict[str, str]

    @property
    def size(self) -> int:
        """Its bytes as the server counts them, at most: headers are part of the payload."""
        return len(self.payload) + headers_size(self.headers)


def headers_size(headers: dict[str, str]) -> int:
    """Return how many bytes headers take, at most."""
    # per header a colon, a space and a line end
    return sum(len(k) + len(v.encode()) + 4 for k, v in headers.items()) + 100


async def publish_all(
    messages: Sequence[Outgoing], publish: Callable[[Outgoing], Awaitable[object]]
) -> None:
    """Publish messages, many at the same time, and return when the server has stored each.

    Raises:
        ExceptionGroup: of `nats.errors.Error`: at least one was not stored; all of them may be
            published again.
    """

    async def one(message: Outgoing) -> None:
        await publish(message)

    for start in range(0, len(messages), MAX_CONCURRENT_PUBLISHES):
        async with asyncio.TaskGroup() as group:
            for message in messages[start : start + MAX_CONCURRENT_PUBLISHES]:
                group.create_task(one(message))
