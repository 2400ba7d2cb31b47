"""What is in the streams: the backlog, and the dead letters by reason."""

from collections import Counter
from dataclasses import dataclass

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from functions.common.broker import EVENTS, EVENTS_DLQ
from infra.connector.dlq.redrive import redrive_stream
from infra.connector.dlq.store import DeadLetterFilter, DeadLetterStore


@dataclass(frozen=True)
class StreamState:
    """Sizes of the two streams.

    Attributes:
        backlog: messages that no function has finished yet, replayed ones included.
        backlog_bytes: the size of these messages.
        dead: dead letters.
    """

    backlog: int = 0
    backlog_bytes: int = 0
    dead: int = 0


async def stream_state(js: JetStreamContext) -> StreamState:
    """Return the sizes from JetStream; a stream that does not exist counts as empty."""
    backlog, backlog_bytes = await _size(js, EVENTS)
    redriven, redriven_bytes = await _size(js, redrive_stream(EVENTS))
    dead, _ = await _size(js, EVENTS_DLQ)
    return StreamState(backlog + redriven, backlog_bytes + redriven_bytes, dead)


async def dead_letters_by_reason(nc: Client, js: JetStreamContext) -> Counter[str]:
    """Count the dead letters by reason, without removing any."""
    store = DeadLetterStore(nc, js, EVENTS_DLQ)
    letters = [letter async for letter in store.read(DeadLetterFilter()) if letter is not None]
    return Counter(letter.reason or "unknown" for letter in letters)


async def _size(js: JetStreamContext, stream: str) -> tuple[int, int]:
    try:
        state = (await js.stream_info(stream)).state
    except NotFoundError:
        return 0, 0
    return state.messages, state.bytes
