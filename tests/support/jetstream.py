"""Streams, what is published to them, and what is left in them."""

import json
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext

from functions.common.broker import BrokerSettings, ensure_streams
from tests.support.net import eventually


async def streams(nc: Client) -> JetStreamContext:
    """Make the streams, and return a context to publish with."""
    js = nc.jetstream()
    await ensure_streams(js, BrokerSettings())  # type: ignore[call-arg]
    return js


def event(name: str, do: str = "", **fields: Any) -> dict[str, Any]:
    """Return an event for the fake function."""
    return {"eventId": name, **({"do": do} if do else {}), **fields}


async def publish(
    js: JetStreamContext,
    *payloads: Any,
    subject: str = "events.facebook",
    counted: bool = False,
) -> None:
    """Publish each payload, an event or a list of events, as one message.

    With `counted`, lists say how many events they hold, as ingest does.
    """
    for payload in payloads:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {"X-Call-Id": "call-1"}
        if isinstance(payload, list) and counted:
            headers["Event-Count"] = str(len(payload))
        await js.publish(subject, data, headers=headers)


async def backlog(js: JetStreamContext, stream: str = "EVENTS") -> int:
    """Return how many messages a stream holds."""
    return (await js.stream_info(stream)).state.messages


async def drained(js: JetStreamContext, seconds: float = 60, left: int = 0) -> None:
    """Wait until the stream is empty, or until `left` messages are left in it."""

    async def is_drained() -> bool:
        return await backlog(js) == left

    await eventually(is_drained, seconds)


async def dead_letters(js: JetStreamContext, stream: str = "EVENTS_DLQ") -> list[Any]:
    """Return the messages of the dead-letter queue: with `data`, `headers`, `subject`."""
    info = await js.stream_info(stream)
    found = []
    for sequence in range(max(info.state.first_seq, 1), info.state.last_seq + 1):
        found.append(await js.get_msg(stream, sequence))
    return found
