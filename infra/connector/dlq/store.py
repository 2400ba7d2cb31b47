"""The dead letters in a stream: reading, replaying and deleting them."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from functions.common.broker import MSG_ID, BrokerSettings, ensure_stream
from functions.common.dead_letter import (
    DLQ_ATTEMPTS,
    DLQ_CONSUMER,
    DLQ_EVENT_ID,
    DLQ_FUNCTION,
    DLQ_PREFIX,
    DLQ_REASON,
    DLQ_SEQUENCE,
    DLQ_STREAM,
    DLQ_SUBJECT,
    DLQ_TIME,
)
from functions.common.jetstream_errors import JetStreamErrorCode
from infra.connector.delivery.message import MessageKey, parse_ack_subject
from infra.connector.dlq.pace import Pace
from infra.connector.dlq.redrive import redrive_config, redrive_subject
from infra.connector.errors import DeadLetterStoreError
from infra.connector.jetstream.api import ask
from infra.connector.jetstream.connection import connect_once
from infra.connector.jetstream.pull import Puller
from infra.connector.jetstream.subjects import covers

MAX_CONCURRENT_REQUESTS = 64
READ_AHEAD_MESSAGES = 500
READ_AHEAD_BYTES = 16 * 1024**2
REQUEST_TIMEOUT_SECONDS = 10.0
CHECK_SECONDS = 2.0
"""How long nothing arrives before the server is asked whether anything is left."""
CONSUMER_IDLE_SECONDS = 60.0
_ALREADY_DELETED = frozenset(
    {
        JetStreamErrorCode.NO_MESSAGE_FOUND,
        JetStreamErrorCode.SEQUENCE_NOT_FOUND,
        JetStreamErrorCode.STREAM_MSG_DELETE_FAILED,
    }
)


@dataclass(frozen=True)
class StoredDeadLetter:
    """A dead letter in its stream."""

    key: MessageKey
    headers: dict[str, str]
    data: bytes
    stored_subject: str = ""
    """The subject it is stored under."""

    @property
    def sequence(self) -> int:
        """Its sequence in the stream, by which commands name it."""
        return self.key.sequence

    @property
    def subject(self) -> str:
        """The subject of the original; empty if it has no such header."""
        return self.headers.get(DLQ_SUBJECT, "")

    @property
    def source(self) -> str:
        """The stream of the original; empty if it has no such header."""
        return self.headers.get(DLQ_STREAM, "")

    @property
    def function(self) -> str:
        """The function that could not process it; empty for an event that `ingest` rejected."""
        return self.headers.get(DLQ_FUNCTION, "")

    @property
    def consumer(self) -> str:
        """The consumer of that function."""
        return self.headers.get(DLQ_CONSUMER, "")

    @property
    def reason(self) -> str:
        """Why it is dead."""
        return self.headers.get(DLQ_REASON, "")

    @property
    def attempts(self) -> str:
        """How many attempts were charged to it."""
        return self.headers.get(DLQ_ATTEMPTS, "")

    @property
    def died(self) -> datetime:
        """When it was dead-lettered; when it was stored, if it has no such header."""
        try:
            return datetime.fromisoformat(self.headers[DLQ_TIME]).astimezone(UTC)
        except (KeyError, ValueError):
            return datetime.fromtimestamp(self.key.time / 1e9, UTC)

    @property
    def event_ids(self) -> list[str]:
        """The ids of its events, as far as its payload can be parsed."""
        if given := self.headers.get(DLQ_EVENT_ID):
            return [given]
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError):
            return []
        events = cast("list[Any]", value) if isinstance(value, list) else [value]
        objects = [cast("dict[str, Any]", event) for event in events if isinstance(event, dict)]
        ids = [event.get("eventId") for event in objects]
        return [event_id for event_id in ids if isinstance(event_id, str)]


@dataclass(frozen=True)
class DeadLetterFilter:
    """Selects dead letters: those that match every criterion that is given.

    Attributes:
        sequences: their sequences in the stream.
        event_ids: they contain an event with one of these ids.
        reason: a part of the reason; case is ignored.
        subject: the original's subject; wildcards allowed.
        function: the function that could not process them.
        since: dead-lettered at this time or later.
        until: dead-lettered before this time.
    """

    sequences: frozenset[int] = frozenset()
    event_ids: frozenset[str] = frozenset()
    reason: str = ""
    subject: str = ""
    function: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def matches_all(self) -> bool:
        """Whether it selects all of them."""
        return self == DeadLetterFilter()

    def matches(self, letter: StoredDeadLetter) -> bool:
        """Return whether it selects a dead letter."""
        return (
            (not self.sequences or letter.sequence in self.sequences)
            and (not self.event_ids or not self.event_ids.isdisjoint(letter.event_ids))
            and self.reason.lower() in letter.reason.lower()
            and (not self.subject or covers(self.subject, letter.subject or "-"))
            and (not self.function or self.function == letter.function)
            and (self.since is None or letter.died >= self.since)
            and (self.until is None or letter.died < self.until)
        )


class DeadLetterStore:
    """The dead letters in one stream."""

    def __init__(self, nc: Client, js: JetStreamContext, stream: str) -> None:
        self._nc = nc
        self._js = js
        self._stream = stream
        self._redrive_streams: set[str] = set()

    async def size(self) -> int:
        """Return how many dead letters there are.

        Raises:
            DeadLetterStoreError: there is no such stream, or JetStream does not respond.
        """
        return (await self._state())[0]

    async def read(self, criteria: DeadLetterFilter) -> AsyncIterator[StoredDeadLetter | None]:
        """Yield each dead letter that is stored now if it is selected, else None.

        Raises:
            DeadLetterStoreError: there is no such stream, or JetStream does not respond.
        """
        count, last = await self._state()
        if not count:
            return
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        name = f"dlq-{uuid4().hex[:12]}"
        await self._make_reader(name, min(criteria.sequences, default=1))
        puller = Puller(
            self._nc,
            self._stream,
            name,
            on_message=arrived.put_nowait,
            on_request_end=lambda: arrived.put_nowait(None),
        )
        await puller.start()
        try:
            sequence, pending = 0, 1
            while sequence < last and pending:
                if puller.consumer_missing and arrived.empty():
                    # whoever uses what is read took longer than the server waits
                    await self._make_reader(name, sequence + 1)
                    puller.consumer_missing = False
                if not puller.requested and arrived.empty():
                    size = None if puller.next_too_large else READ_AHEAD_BYTES
                    await puller.request(1 if puller.next_too_large else READ_AHEAD_MESSAGES, size)
                try:
                    msg = await asyncio.wait_for(arrived.get(), CHECK_SECONDS)
                except TimeoutError:
                    if puller.refused:
                        raise DeadLetterStoreError(
                            f"cannot read {self._stream}: {puller.refused}"
                        ) from None
                    if await self._is_exhausted(name):
                        break  # the rest was deleted meanwhile
                    continue
                if msg is None:
                    continue
                tokens = parse_ack_subject(msg.reply)
                sequence, pending = tokens.sequence, tokens.pending
                if sequence > last:
                    break
                letter = StoredDeadLetter(
                    MessageKey(sequence, tokens.time), msg.headers or {}, msg.data, msg.subject
                )
                yield letter if criteria.matches(letter) else None
                if criteria.sequences and sequence >= max(criteria.sequences):
                    break
        finally:
            await puller.stop()
            await self._delete_consumer(name)

    async def _make_reader(self, name: str, first: int) -> None:
        """Make a consumer that delivers what is stored from the sequence `first` on."""
        config = ConsumerConfig(
            name=name,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            inactive_threshold=CONSUMER_IDLE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            await self._js.add_consumer(self._stream, config)  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
        except (NatsError, OSError) as error:
            raise DeadLetterStoreError(f"cannot read {self._stream}: {error}") from error

    async def replay(
        self,
        letters: Sequence[StoredDeadLetter],
        on_done: Callable[[StoredDeadLetter], None],
        *,
        to_stream: bool = False,
        pace: Pace | None = None,
    ) -> list[tuple[StoredDeadLetter, str]]:
        """Publish originals again, and delete each dead letter once its original is stored.

        They go to the function whose dead letters they are, or to their subject if no function is
        named in them.

        Args:
            letters: what to replay.
            on_done: called with each that was replayed.
            to_stream: publish all of them to their subjects, for every function that has these.
            pace: limits how many are published in a second; None for no limit.

        Returns:
            Those that could not be replayed, with the reason; they stay in the stream.
        """
        failed: list[tuple[StoredDeadLetter, str]] = []
        size = pace.at_once(MAX_CONCURRENT_REQUESTS) if pace else MAX_CONCURRENT_REQUESTS
        for start in range(0, len(letters), size):
            some = letters[start : start + size]
            if pace:
                await asyncio.sleep(pace.delay(len(some), time.monotonic()))
            faults = await asyncio.gather(*(self._replay(each, to_stream) for each in some))
            for letter, fault in zip(some, faults, strict=True):
                if fault is None:
                    on_done(letter)
                else:
                    failed.append((letter, fault))
        return failed

    async def remove(
        self,
        letters: Sequence[StoredDeadLetter],
        on_done: Callable[[StoredDeadLetter], None],
        *,
        overwrite: bool = False,
    ) -> None:
        """Delete dead letters for good.

        Args:
            letters: what to delete.
            on_done: called with each that was deleted.
            overwrite: also overwrite their bytes on the server's disk, which is slow.

        Raises:
            DeadLetterStoreError: JetStream refuses.
        """
        for start in range(0, len(letters), MAX_CONCURRENT_REQUESTS):
            some = letters[start : start + MAX_CONCURRENT_REQUESTS]
            await asyncio.gather(*(self._delete(each.sequence, overwrite) for each in some))
            for letter in some:
                on_done(letter)

    async def remove_all(self) -> int:
        """Delete every dead letter that is stored now, and return how many.

        Raises:
            DeadLetterStoreError: JetStream refuses.
        """
        count, last = await self._state()
        if count:
            try:
                await self._js.purge_stream(self._stream, seq=last + 1)
            except (NatsError, OSError) as error:
                raise DeadLetterStoreError(f"cannot purge {self._stream}: {error}") from error
        return count

    async def _state(self) -> tuple[int, int]:
        try:
            state = (await self._js.stream_info(self._stream)).state
        except NotFoundError:
            raise DeadLetterStoreError(f"there is no stream {self._stream}") from None
        except (NatsError, OSError) as error:
            raise DeadLetterStoreError(
                f"stream {self._stream} does not respond: {error}"
            ) from error
        return state.messages, state.last_seq

    async def _replay(self, letter: StoredDeadLetter, to_stream: bool) -> str | None:
        if not letter.subject:
            return "it has no header with the subject of its original"
        subject, headers = letter.subject, original_headers(letter, self._stream)
        try:
            if letter.consumer and letter.source and not to_stream:
                await self._ensure_redrive_stream(letter.source)
                subject = redrive_subject(letter.source, letter.consumer, letter.subject)
                # should it be dead-lettered again, these are as they were
                headers[DLQ_STREAM] = letter.source
                headers[DLQ_SEQUENCE] = letter.headers.get(DLQ_SEQUENCE, "")
            await self._js.publish(
                subject, letter.data, timeout=REQUEST_TIMEOUT_SECONDS, headers=headers
            )
            # only now: if this process is killed in between, the message is stored at least once
            await self._delete(letter.sequence)
        except (NatsError, DeadLetterStoreError, OSError) as error:
            return str(error)
        return None

    async def _ensure_redrive_stream(self, source: str) -> None:
        if source not in self._redrive_streams:
            replicas = (await self._js.stream_info(self._stream)).config.num_replicas or 1
            await ensure_stream(self._js, redrive_config(source, replicas))
            self._redrive_streams.add(source)

    async def _delete(self, sequence: int, overwrite: bool = False) -> None:
        question = {"seq": sequence, "no_erase": not overwrite}
        name = f"STREAM.MSG.DELETE.{self._stream}"
        try:
            await ask(self._nc, name, question, timeout=REQUEST_TIMEOUT_SECONDS)
        except (NatsError, OSError) as error:
            if isinstance(error, APIError) and error.err_code in _ALREADY_DELETED:
                return
            raise DeadLetterStoreError(
                f"cannot delete {sequence} of {self._stream}: {error}"
            ) from error

    async def _is_exhausted(self, consumer: str) -> bool:
        try:
            return not (await self._js.consumer_info(self._stream, consumer)).num_pending
        except (NatsError, OSError) as error:
            raise DeadLetterStoreError(
                f"stream {self._stream} does not respond: {error}"
            ) from error

    async def _delete_consumer(self, consumer: str) -> None:
        try:
            await self._js.delete_consumer(self._stream, consumer)
        except (NatsError, OSError):
            return  # the server deletes it when it has been idle


def original_headers(letter: StoredDeadLetter, stream: str) -> dict[str, str]:
    """Return the headers of the original, with a new message id.

    The id is the same when an interrupted replay is repeated, so that the stream stores it once; it
    differs from the original's, which may still be in the stream's duplicate window.
    """
    headers = {
        name: value
        for name, value in letter.headers.items()
        if not name.lower().startswith((DLQ_PREFIX, "nats-"))
    }
    headers[MSG_ID] = f"replay:{stream}:{letter.sequence}:{letter.key.time}"
    return headers


def by_reason(letters: Iterable[StoredDeadLetter]) -> list[tuple[str, int]]:
    """Return each reason with its number of dead letters, the most frequent first."""
    counts: dict[str, int] = {}
    for letter in letters:
        counts[letter.reason] = counts.get(letter.reason, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def ago(seconds: float) -> datetime:
    """Return the time that was `seconds` ago, in UTC."""
    return datetime.fromtimestamp(time.time() - seconds, UTC)


@asynccontextmanager
async def open_store(
    settings: BrokerSettings, stream: str, client: str
) -> AsyncGenerator[tuple[JetStreamContext, DeadLetterStore]]:
    """Connect to NATS for the block; for commands.

    Args:
        settings: how to reach NATS.
        stream: the stream with the dead letters.
        client: the name of the connection.

    Raises:
        NatsUnavailableError: NATS does not respond.
    """
    nc = await connect_once(settings, client)
    try:
        js = nc.jetstream()
        yield js, DeadLetterStore(nc, js, stream)
    finally:
        await nc.close()
