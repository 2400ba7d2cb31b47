"""What waits in JetStream on its way to the database."""

import asyncio
from collections.abc import Callable

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamState
from nats.js.errors import NotFoundError

from infra.privacy.errors import StreamUnavailableError

POLL_SECONDS = 0.25


async def waiting_messages(js: JetStreamContext, stream: str) -> int:
    """Return how many messages wait in a stream; none where it does not exist.

    Raises:
        StreamUnavailableError: JetStream does not respond.
    """
    state = await _state(js, stream)
    return state.messages if state else 0


async def wait_until_processed(
    js: JetStreamContext,
    stream: str,
    seconds: float,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Wait until the messages that wait in a stream now are processed: stored, or dead.

    Messages that come meanwhile are not waited for.

    Args:
        js: the connection.
        stream: a work queue, which deletes what is processed.
        seconds: how long at most.
        progress: is called with the number of messages that still wait.

    Returns:
        How many at most still wait of those that did at the start.

    Raises:
        StreamUnavailableError: JetStream does not respond.
    """
    state = await _state(js, stream)
    if not state:
        return 0
    last = state.last_seq
    deadline = asyncio.get_running_loop().time() + seconds
    while state and state.messages and state.first_seq <= last:
        left = min(state.messages, last - state.first_seq + 1)
        progress(left)
        if asyncio.get_running_loop().time() >= deadline:
            return left
        await asyncio.sleep(POLL_SECONDS)
        state = await _state(js, stream)
    return 0


async def _state(js: JetStreamContext, stream: str) -> StreamState | None:
    try:
        return (await js.stream_info(stream)).state
    except NotFoundError:
        return None
    except (NatsError, OSError, TimeoutError) as error:
        raise StreamUnavailableError(
            f"stream {stream} does not respond: {str(error) or type(error).__name__}"
        ) from error
