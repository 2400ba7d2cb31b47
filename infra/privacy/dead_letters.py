"""A person's events in the dead-letter queue."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.broker import EVENT_COUNT, MSG_ID
from infra.connector.delivery.message import split_array
from infra.connector.dlq.store import (
    REQUEST_TIMEOUT_SECONDS,
    DeadLetterFilter,
    DeadLetterStore,
    StoredDeadLetter,
)
from infra.privacy.errors import StreamUnavailableError
from infra.privacy.person import Person


@dataclass(frozen=True)
class PersonsLetter:
    """A dead letter that holds events of a person.

    Attributes:
        letter: the dead letter.
        events: the person's events in it, as they were sent.
        others: the events of others in it.
    """

    letter: StoredDeadLetter
    events: tuple[bytes, ...]
    others: tuple[bytes, ...]


async def letters_of(
    store: DeadLetterStore, person: Person, progress: Callable[[], None] = lambda: None
) -> AsyncIterator[PersonsLetter]:
    """Yield the dead letters that hold events of a person.

    Args:
        store: the dead letters.
        person: whose events.
        progress: is called for each dead letter that was read.

    Raises:
        DeadLetterStoreError: there is no such stream, or JetStream does not respond.
    """
    async for letter in store.read(DeadLetterFilter()):
        progress()
        if letter is None:
            continue
        elements = split_array(letter.data)
        own = [person.owns(element) for element in elements]
        if any(own):
            yield PersonsLetter(
                letter,
                tuple(each for each, is_own in zip(elements, own, strict=True) if is_own),
                tuple(each for each, is_own in zip(elements, own, strict=True) if not is_own),
            )


async def erase_letter(
    js: JetStreamContext, store: DeadLetterStore, stream: str, found: PersonsLetter
) -> None:
    """Delete a dead letter for good; events of others in it get one of their own before.

    Raises:
        DeadLetterStoreError: JetStream refuses.
        StreamUnavailableError: JetStream does not take the letter of the others.
    """
    letter = found.letter
    if found.others:
        headers = dict(letter.headers)
        # the same when an interrupted run is repeated soon, so that it is stored once
        headers[MSG_ID] = f"erased:{stream}:{letter.sequence}:{letter.key.time}"
        if EVENT_COUNT in headers:
            headers[EVENT_COUNT] = str(len(found.others))
        try:
            await js.publish(
                letter.stored_subject,
                b"[" + b",".join(found.others) + b"]",
                timeout=REQUEST_TIMEOUT_SECONDS,
                stream=stream,
                headers=headers,
            )
        except (NatsError, OSError, TimeoutError) as error:
            raise StreamUnavailableError(
                f"{stream} does not take a dead letter: {str(error) or type(error).__name__}"
            ) from error
    await store.remove([letter], lambda _: None, overwrite=True)
