"""Publishes dead letters: messages, or single events of them."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError

from functions.common.broker import EVENT_COUNT, MSG_ID, create_stream, dead_letter_stream
from functions.common.dead_letter import DLQ_REASON, dead_letter_headers, header_text
from infra.connector.delivery.message import Message, Origin, split_array
from infra.connector.delivery.response import DeadEvent
from infra.connector.errors import BindError
from infra.connector.jetstream.outgoing import (
    PUBLISH_TIMEOUT_SECONDS,
    Outgoing,
    headers_size,
    publish_all,
)
from infra.connector.jetstream.streams import add_subjects, holds_others_subjects, not_stored

logger = logging.getLogger(__name__)

MAX_SHORT_REASON_LENGTH = 100
ORIGINAL_PREFIX = "Dlq-Original-"
"""Prefix for headers of the original that the server would act on (`Nats-...`)."""
_SERVER_PREFIX = "nats-"
_is_header_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


DeadLetter = Outgoing
"""A message for the dead-letter queue."""


@dataclass(frozen=True)
class DeadLetterRoute:
    """Whose dead letters these are, and where they go.

    Attributes:
        function: the function that could not process the originals.
        consumer: its consumer.
        source: the stream of the originals.
        stream: the stream of the dead letters.
        subject: the subject of a dead letter, with `{stream}` and `{subject}` for the original's.
    """

    function: str
    consumer: str
    source: str
    stream: str
    subject: str

    def subject_of(self, subject: str) -> str:
        """Return the subject of the dead letter of a message of this subject."""
        return self.subject.format(stream=self.source, subject=subject)

    def stored_subjects(self, source: StreamConfig) -> list[str]:
        """Return the subjects that dead letters of a stream may have, wildcards included."""
        if "{stream}" in self.subject or holds_others_subjects(source) or not source.subjects:
            return [self.subject_of(">")]
        return sorted(map(self.subject_of, source.subjects))


def dead_letters_for_message(
    message: Message, reason: str, attempts: int, route: DeadLetterRoute
) -> list[DeadLetter]:
    """Return the dead letter of a whole message, or one for each event of a part of a message.

    Args:
        message: the dead message.
        reason: why it is dead, for a person to read.
        attempts: how many attempts were charged to it.
        route: whose dead letter it is, and where it goes.
    """
    if message.parent is None:
        return [_letter(message, message.data, reason, attempts, route)]
    events = [DeadEvent(index, None, reason) for index in range(message.events)]
    return dead_letters_for_events(message, events, attempts, route)


def dead_letters_for_events(
    message: Message, events: Sequence[DeadEvent], attempts: int, route: DeadLetterRoute
) -> list[DeadLetter]:
    """Return a dead letter for each dead event of a message, with the event's original bytes.

    Args:
        message: the message.
        events: its dead events.
        attempts: how many attempts were charged to the message.
        route: as in `dead_letters_for_message`.

    Raises:
        IndexError: the message has no such event.
    """
    elements = message.elements() if message.parent else split_array(message.data)
    letters: list[DeadLetter] = []
    for event in events:
        payload = elements[event.index]
        letter = _letter(message, payload, event.reason, attempts, route, event)
        if EVENT_COUNT in letter.headers:
            letter.headers[EVENT_COUNT] = "1"
        letters.append(letter)
    return letters


def _letter(
    message: Message,
    payload: bytes,
    reason: str,
    attempts: int,
    route: DeadLetterRoute,
    event: DeadEvent | None = None,
) -> DeadLetter:
    top = message.top
    origin = top.origin or Origin(route.source, top.key.sequence)
    headers = {_kept_name(name): value for name, value in message.headers.items()}
    headers |= dead_letter_headers(
        reason=reason,
        subject=message.subject,
        stream=origin.stream,
        sequence=origin.sequence,
        function=route.function,
        consumer=route.consumer,
        attempts=attempts,
        event_id=event.event_id if event else None,
        order_key=top.order_key,
    )
    # The same id after a crash between this publish and the original's acknowledgement; another
    # for each function that fails; the time distinguishes messages of a stream that was deleted
    # and created again.
    identity = f"dlq:{route.consumer}:{top.id}:{top.key.time}"
    headers[MSG_ID] = f"{identity}:{message.key.first + event.index}" if event else identity
    return DeadLetter(route.subject_of(message.subject), payload, headers)


def _kept_name(name: str) -> str:
    """Return the name of an original's header in its dead letter."""
    if name.lower().startswith(_SERVER_PREFIX):
        return ORIGINAL_PREFIX + name
    # some clients send names that others refuse to send
    return name if _is_header_name(name) else ORIGINAL_PREFIX + quote(name, safe="")


class DeadLetterPublisher:
    """Publishes the dead letters of one stream, and waits until they are stored."""

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        route: DeadLetterRoute,
        max_bytes: int,
        *,
        create: bool = True,
    ) -> None:
        """Make a publisher.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            route: whose dead letters these are, and where they go.
            max_bytes: the size of the stream of the dead letters, should it have to be made.
            create: whether it is made, or gets subjects that it lacks; else that is a fault.
        """
        self._nc = nc
        self._js = js
        self._max_bytes = max_bytes
        self._create = create
        self.route = route
        self.fault: str | None = None
        """Why dead letters cannot be stored; None since the last that were."""

    async def ensure_stream(self) -> None:
        """Create the stream for dead letters, or let one that exists store those of the source.

        Only subjects are ever added to a stream that exists: it may be somebody's own.

        Raises:
            BindError: JetStream refuses, there is no source, or something would have to be made
                and may not.
        """
        route = self.route
        try:
            source = (await self._js.stream_info(route.source)).config
            wanted = route.stored_subjects(source)
            if not self._create:
                await self._check(wanted)
                return
            try:
                await add_subjects(self._nc, route.stream, wanted)
            except NotFoundError:
                replicas = source.num_replicas or 1
                config = dead_letter_stream(route.stream, wanted, self._max_bytes, replicas)
                await create_stream(self._js, config)
        except NotFoundError:
            raise BindError(f"there is no stream {route.source}") from None
        except (APIError, NatsTimeoutError) as error:
            text = f"the stream {route.stream} cannot store dead letters: {error}"
            raise BindError(text) from error

    async def _check(self, wanted: list[str]) -> None:
        name = self.route.stream
        reason = "the connector does not do so, since DLQ_CREATE is false"
        try:
            stored = (await self._js.stream_info(name)).config.subjects or []
        except NotFoundError:
            raise BindError(
                f"there is no stream {name} for dead letters: make it with the subjects "
                f"{', '.join(wanted)}; {reason}"
            ) from None
        if missing := not_stored(stored, wanted):
            raise BindError(
                f"the stream {name} does not store dead letters: add the subjects "
                f"{', '.join(missing)} to it; {reason}"
            )

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Publish dead letters, and return when the server has stored each.

        Raises:
            ExceptionGroup: as `publish_all`.
        """
        await publish_all(letters, self._publish)
        self.fault = None

    async def _publish(self, letter: DeadLetter) -> None:
        fitting = self.fitting(letter)
        await self._js.publish(
            fitting.subject,
            fitting.payload,
            timeout=PUBLISH_TIMEOUT_SECONDS,
            stream=self.route.stream,
            headers=dict(fitting.headers) or None,  # nats-py adds to it
        )

    def fitting(self, letter: DeadLetter) -> DeadLetter:
        """Return a dead letter as it can be published: with fewer headers, if it is too large."""
        limit = self._nc.max_payload
        if letter.size <= limit:
            return letter
        # the payload fitted with its own headers, so it does with fewer of those added here
        added = {k: v for k, v in letter.headers.items() if k.startswith("Dlq-") or k == MSG_ID}
        headers = {k: v for k, v in added.items() if not k.startswith(ORIGINAL_PREFIX)}
        headers[DLQ_REASON] = header_text(headers[DLQ_REASON], MAX_SHORT_REASON_LENGTH)
        if len(letter.payload) + headers_size(headers) > limit:
            logger.error(
                "dead letter published without headers, it is too large",
                extra={"subject": letter.subject},
            )
            headers = {}
        return replace(letter, headers=headers)
