"""Puts messages, or single events of them, into the dead-letter queue."""

import asyncio
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from nats.aio.client import Client
from nats.js import JetStreamContext

from functions.common.broker import EVENT_COUNT, MSG_ID
from functions.common.dead_letter import DLQ_REASON, dead_letter_headers, header_text
from infra.connector.delivery.message import Message, split_array
from infra.connector.delivery.response import DeadEvent

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT = 10.0
AT_ONCE = 100
ORIGINAL = "Dlq-Original-"
"""Put before headers of the original that would mean something to the server: `Nats-...`."""
_SERVER_PREFIX = "nats-"
_header_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


@dataclass(frozen=True)
class DeadLetter:
    """A message for the dead-letter queue."""

    subject: str
    payload: bytes
    headers: dict[str, str]


def whole(message: Message, reason: str, attempts: int, dlq_subject: str) -> list[DeadLetter]:
    """Return the dead letter of a whole message, or those of the events of a part of one."""
    if message.parent is None:
        return [_letter(message, message.data, reason, attempts, dlq_subject)]
    events = [DeadEvent(index, None, reason) for index in range(message.events)]
    return parts(message, events, attempts, dlq_subject)


def parts(
    message: Message, events: Sequence[DeadEvent], attempts: int, dlq_subject: str
) -> list[DeadLetter]:
    """Return one dead letter for each dead event of a message, with the event's original bytes.

    Raises:
        IndexError: the message has no such event.
    """
    elements = message.elements() if message.parent else split_array(message.data)
    letters: list[DeadLetter] = []
    for event in events:
        payload = elements[event.index]
        letter = _letter(message, payload, event.reason, attempts, dlq_subject, event)
        if EVENT_COUNT in letter.headers:
            letter.headers[EVENT_COUNT] = "1"
        letters.append(letter)
    return letters


def _letter(
    message: Message,
    payload: bytes,
    reason: str,
    attempts: int,
    dlq_subject: str,
    event: DeadEvent | None = None,
) -> DeadLetter:
    top = message.top
    headers = {_kept_name(name): value for name, value in message.headers.items()}
    headers |= dead_letter_headers(
        reason=reason,
        subject=message.subject,
        stream=top.id.rpartition(":")[0],
        sequence=message.key.sequence,
        attempts=attempts,
        event_id=event.event_id if event else None,
    )
    # The same after a crash between this publish and the original's acknowledgement; the time
    # tells apart the messages of a stream that was deleted and made anew.
    identity = f"dlq:{top.id}:{top.key.time}"
    headers[MSG_ID] = f"{identity}:{message.key.first + event.index}" if event else identity
    return DeadLetter(dlq_subject.format(subject=message.subject), payload, headers)


def _kept_name(name: str) -> str:
    """Return the name of an original's header in its dead letter."""
    if name.lower().startswith(_SERVER_PREFIX):
        return ORIGINAL + name
    # some clients send names that others refuse to send
    return name if _header_name(name) else ORIGINAL + quote(name, safe="")


class DeadLetterQueue:
    """Publishes dead letters and waits until they are safe."""

    def __init__(self, nc: Client, js: JetStreamContext, stream: str) -> None:
        self._nc = nc
        self._js = js
        self._stream = stream

    async def publish(self, letters: Iterable[DeadLetter]) -> None:
        """Publish all the letters, and return when the server has acknowledged each.

        Raises:
            nats.errors.Error: at least one was not; all of them may be published again.
        """
        pending = list(letters)
        for start in range(0, len(pending), AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for letter in pending[start : start + AT_ONCE]:
                    group.create_task(self._publish(letter))

    async def _publish(self, letter: DeadLetter) -> None:
        headers: dict[str, str] | None = letter.headers
        if self._too_large(letter.payload, letter.headers):
            # the payload fitted with its own headers; what came on top must not keep it out
            ours = {k: v for k, v in letter.headers.items() if k.startswith("Dlq-") or k == MSG_ID}
            headers = {k: v for k, v in ours.items() if not k.startswith(ORIGINAL)}
            headers[DLQ_REASON] = header_text(headers[DLQ_REASON], 100)
            if self._too_large(letter.payload, headers):
                log.error("a dead letter is too large for headers: %s", letter.headers[DLQ_REASON])
                headers = None
        await self._js.publish(
            letter.subject,
            letter.payload,
            timeout=PUBLISH_TIMEOUT,
            stream=self._stream,
            headers=headers,
        )

    def _too_large(self, payload: bytes, headers: dict[str, str]) -> bool:
        # per header a colon, a space and a line end; the server counts headers as payload
        size = sum(len(k) + len(v.encode()) + 4 for k, v in headers.items()) + 100
        return len(payload) + size > self._nc.max_payload
