"""What was charged to messages, where every connector finds it, also after a restart.

A bucket of NATS (a key-value store) has an entry for each message that was charged at least once.
A message is at one connector at a time: whoever charges it writes before the message may go to
another, and whoever gets a message that was delivered before reads. Entries are not deleted when
messages are done: they expire, and beyond the bucket's size the oldest go.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from infra.connector.delivery.message import MessageKey
from infra.connector.jetstream.bucket import Bucket
from infra.connector.jetstream.streams import subjects_stored

BUCKET = "connector-attempts"
STREAM = f"KV_{BUCKET}"
MAX_CONCURRENT_REQUESTS = 100
MAX_SINGLE_READS = 8
"""Of more messages, the server is asked first which of them have an entry."""
TIMEOUT_SECONDS = 5.0


@dataclass
class Charges:
    """What was charged to a message.

    Attributes:
        attempts: how many attempts.
        calls: how often the function had received it by then.
        parts: attempts of parts of it that were delivered alone, by first event and number.
    """

    attempts: int = 0
    calls: int = 0
    parts: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])


class AttemptStore:
    """The charges of the messages of one consumer."""

    def __init__(self, nc: Client, js: JetStreamContext, stream: str, consumer: str) -> None:
        self._nc = nc
        self._js = js
        description = "attempts that connectors have charged to messages"
        self._bucket = Bucket(nc, js, BUCKET, description, stream)
        self._prefix = f"{self._bucket.prefix}{stream}.{consumer}."

    async def load(self, keys: Iterable[MessageKey]) -> dict[MessageKey, Charges]:
        """Return the charges of those of some whole messages that have any.

        Raises:
            nats.errors.Error: JetStream does not respond.
        """
        wanted = {self._subject(key): key for key in keys}
        if len(wanted) > MAX_SINGLE_READS:
            stored = await subjects_stored(self._nc, STREAM, f"{self._prefix}>")
            wanted = {subject: key for subject, key in wanted.items() if subject in stored}
        found: dict[MessageKey, Charges] = {}
        subjects = list(wanted)
        for start in range(0, len(subjects), MAX_CONCURRENT_REQUESTS):
            some = subjects[start : start + MAX_CONCURRENT_REQUESTS]
            for subject, charges in zip(
                some, await asyncio.gather(*map(self._read, some)), strict=True
            ):
                if charges:
                    found[wanted[subject]] = charges
        return found

    async def save(self, charges: Mapping[MessageKey, Charges]) -> None:
        """Store the charges of whole messages, and return when the server has stored them.

        Raises:
            nats.errors.Error: JetStream does not respond, or refuses.
        """
        entries = [(self._subject(key), _to_json(each)) for key, each in charges.items()]
        await self._bucket.prepare()
        for start in range(0, len(entries), MAX_CONCURRENT_REQUESTS):
            await self._write(entries[start : start + MAX_CONCURRENT_REQUESTS])

    def _subject(self, key: MessageKey) -> str:
        return f"{self._prefix}{key.sequence}.{key.time}"

    async def _read(self, subject: str) -> Charges | None:
        try:
            # of the leader: a follower might not know yet what another connector has written
            entry = await self._js.get_last_msg(STREAM, subject)
        except NotFoundError:
            return None
        return _from_json(entry.data or b"{}")

    async def _write(self, entries: Iterable[tuple[str, bytes]]) -> None:
        results = await asyncio.gather(
            *(self._bucket.write(subject, value, TIMEOUT_SECONDS) for subject, value in entries),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _to_json(charges: Charges) -> bytes:
    value: dict[str, Any] = {"attempts": charges.attempts, "calls": charges.calls}
    if charges.parts:
        value["parts"] = [[*part, attempts] for part, attempts in charges.parts.items()]
    return json.dumps(value, separators=(",", ":")).encode()


def _from_json(text: bytes) -> Charges:
    value = json.loads(text)
    parts = {(first, events): attempts for first, events, attempts in value.get("parts", ())}
    return Charges(value.get("attempts", 0), value.get("calls", 0), parts)
