"""What waits in JetStream, and what is dead."""

from collections import Counter
from dataclasses import dataclass, field

from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from functions.common.broker import EVENTS, EVENTS_DLQ
from functions.common.dead_letter import DLQ_REASON


@dataclass(frozen=True)
class StreamState:
    """Sizes of the two streams.

    Attributes:
        backlog: messages that no function has finished yet.
        backlog_bytes: their size.
        dead: dead letters kept.
    """

    backlog: int = 0
    backlog_bytes: int = 0
    dead: int = 0


async def stream_state(js: JetStreamContext) -> StreamState:
    """Ask JetStream for the sizes; a stream that does not exist counts as empty."""
    backlog = await _size(js, EVENTS)
    dead = await _size(js, EVENTS_DLQ)
    return StreamState(backlog[0], backlog[1], dead[0])


async def _size(js: JetStreamContext, stream: str) -> tuple[int, int]:
    try:
        state = (await js.stream_info(stream)).state
    except NotFoundError:
        return 0, 0
    return state.messages, state.bytes


@dataclass
class DeadLetters:
    """Dead letters by reason, as far as they were read."""

    reasons: Counter[str] = field(default_factory=Counter)


async def dead_letters(js: JetStreamContext, most: int = 20_000) -> DeadLetters:
    """Read the headers of the dead letters; the letters stay where they are."""
    found = DeadLetters()
    size = (await stream_state(js)).dead
    if not size:
        return found
    subscription = await js.pull_subscribe(
        "",
        stream=EVENTS_DLQ,
        config=ConsumerConfig(
            ack_policy=AckPolicy.NONE, headers_only=True, mem_storage=True, inactive_threshold=60
        ),
    )
    left = min(size, most)
    while left > 0:
        try:
            batch = await subscription.fetch(min(left, 1000), timeout=2)
        except TimeoutError:
            break
        left -= len(batch)
        found.reasons.update((each.headers or {}).get(DLQ_REASON, "unknown") for each in batch)
    await subscription.unsubscribe()
    return found
