"""Reads, replays and removes what is in a dead-letter queue."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from functions.common.broker import MSG_ID
from functions.common.dead_letter import (
    DLQ_ATTEMPTS,
    DLQ_EVENT_ID,
    DLQ_REASON,
    DLQ_SUBJECT,
    DLQ_TIME,
)
from functions.common.errors import UniverseError
from infra.connector.delivery.message import Key, read_ack_subject
from infra.connector.jetstream.pull import Puller
from infra.connector.subjects import covers

AT_ONCE = 64
READ_AHEAD = 500
READ_BYTES = 16 * 1024**2
PUBLISH_TIMEOUT = 10.0
PATIENCE = 2.0


class StoreError(UniverseError):
    """The dead-letter queue, or the stream that takes a replay, refuses; says why."""


@dataclass(frozen=True)
class Entry:
    """A dead letter in its queue."""

    key: Key
    queue_subject: str
    headers: dict[str, str]
    data: bytes

    @property
    def sequence(self) -> int:
        """Its place in the queue, by which commands name it."""
        return self.key.sequence

    @property
    def subject(self) -> str:
        """Where the original was published; empty if it does not say."""
        return self.headers.get(DLQ_SUBJECT, "")

    @property
    def reason(self) -> str:
        """Why it is dead."""
        return self.headers.get(DLQ_REASON, "")

    @property
    def attempts(self) -> str:
        """How many attempts it was charged."""
        return self.headers.get(DLQ_ATTEMPTS, "")

    @property
    def died(self) -> datetime:
        """When it was given up; when it was stored, if it does not say."""
        try:
            return datetime.fromisoformat(self.headers[DLQ_TIME]).astimezone(UTC)
        except (KeyError, ValueError):
            return datetime.fromtimestamp(self.key.time / 1e9, UTC)

    @property
    def event_ids(self) -> list[str]:
        """The ids of its events as far as they can be read."""
        if given := self.headers.get(DLQ_EVENT_ID):
            return [given]
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError):
            return []
        events = value if isinstance(value, list) else [value]
        return [
            event["eventId"]
            for event in events
            if isinstance(event, dict) and isinstance(event.get("eventId"), str)
        ]


@dataclass(frozen=True)
class Choice:
    """Which dead letters; each part that is given has to fit.

    Attributes:
        sequences: their places in the queue.
        event_ids: an event with one of these ids.
        reason: a part of the reason, in any case.
        subject: the original's subject; wildcards allowed.
        since: dead since then, or later.
        until: dead before then.
    """

    sequences: frozenset[int] = frozenset()
    event_ids: frozenset[str] = frozenset()
    reason: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Choice()

    def fits(self, entry: Entry) -> bool:
        """Return whether a dead letter is meant."""
        return (
            (not self.sequences or entry.sequence in self.sequences)
            and (not self.event_ids or not self.event_ids.isdisjoint(entry.event_ids))
            and self.reason.lower() in entry.reason.lower()
            and (not self.subject or covers(self.subject, entry.subject or "-"))
            and (self.since is None or entry.died >= self.since)
            and (self.until is None or entry.died < self.until)
        )


class DeadLetterStore:
    """One dead-letter queue."""

    def __init__(self, nc: Client, js: JetStreamContext, stream: str) -> None:
        self._nc = nc
        self._js = js
        self._stream = stream

    async def size(self) -> int:
        """Return how many dead letters there are.

        Raises:
            StoreError: there is no such queue, or JetStream does not answer.
        """
        return (await self._state())[0]

    async def read(self, choice: Choice) -> AsyncIterator[Entry | None]:
        """Yield each dead letter that is there now: itself if it is meant, else None.

        Raises:
            StoreError: there is no such queue, or it does not answer.
        """
        count, last = await self._state()
        if not count:
            return
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        name = f"dlq-{uuid4().hex[:12]}"
        first = min(choice.sequences) if choice.sequences else None
        try:
            await self._js.add_consumer(
                self._stream,
                ConsumerConfig(
                    name=name,
                    ack_policy=AckPolicy.NONE,
                    deliver_policy=(
                        DeliverPolicy.BY_START_SEQUENCE if first else DeliverPolicy.ALL
                    ),
                    opt_start_seq=first,
                    inactive_threshold=60.0,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )
        except (NatsError, OSError) as error:
            raise StoreError(f"cannot read {self._stream}: {error}") from error
        puller = Puller(
            self._nc,
            self._stream,
            name,
            on_message=arrived.put_nowait,
            on_change=lambda: arrived.put_nowait(None),
        )
        await puller.start()
        try:
            sequence, pending = 0, 1
            while sequence < last and pending:
                if not puller.standing and arrived.empty():
                    size = None if puller.too_large else READ_BYTES
                    await puller.request(1 if puller.too_large else READ_AHEAD, size)
                try:
                    msg = await asyncio.wait_for(arrived.get(), PATIENCE)
                except TimeoutError:
                    if await self._nothing_left(name):
                        break  # somebody else has removed the rest
                    continue
                if msg is None:
                    continue
                tokens = read_ack_subject(msg.reply)
                sequence, pending = tokens.sequence, tokens.pending
                if sequence > last:
                    break
                entry = Entry(Key(sequence, tokens.time), msg.subject, msg.headers or {}, msg.data)
                yield entry if choice.fits(entry) else None
                if choice.sequences and sequence >= max(choice.sequences):
                    break
        finally:
            await puller.stop()
            await self._forget(name)

    async def replay(
        self, entries: Sequence[Entry], on_done: Callable[[Entry], None]
    ) -> list[tuple[Entry, str]]:
        """Publish originals again, and remove each from the queue once it is safe in its stream.

        Args:
            entries: what to replay.
            on_done: called with each that is replayed.

        Returns:
            Those that could not be, and why; they stay in the queue.
        """
        failed: list[tuple[Entry, str]] = []
        for start in range(0, len(entries), AT_ONCE):
            some = entries[start : start + AT_ONCE]
            for entry, fault in zip(
                some, await asyncio.gather(*map(self._replay, some)), strict=True
            ):
                if fault is None:
                    on_done(entry)
                else:
                    failed.append((entry, fault))
        return failed

    async def remove(self, entries: Sequence[Entry], on_done: Callable[[Entry], None]) -> None:
        """Delete dead letters for good.

        Raises:
            StoreError: JetStream refuses.
        """
        for start in range(0, len(entries), AT_ONCE):
            some = entries[start : start + AT_ONCE]
            await asyncio.gather(*(self._delete(entry.sequence) for entry in some))
            for entry in some:
                on_done(entry)

    async def remove_all(self) -> int:
        """Delete every dead letter that is there now, and return how many.

        Raises:
            StoreError: JetStream refuses.
        """
        count, last = await self._state()
        if count:
            try:
                await self._js.purge_stream(self._stream, seq=last + 1)
            except (NatsError, OSError) as error:
                raise StoreError(f"cannot purge {self._stream}: {error}") from error
        return count

    async def _state(self) -> tuple[int, int]:
        try:
            state = (await self._js.stream_info(self._stream)).state
        except NotFoundError:
            raise StoreError(f"there is no stream {self._stream}") from None
        except (NatsError, OSError) as error:
            raise StoreError(f"{self._stream} does not answer: {error}") from error
        return state.messages, state.last_seq

    async def _replay(self, entry: Entry) -> str | None:
        if not entry.subject:
            return "it does not say where it was published"
        try:
            await self._js.publish(
                entry.subject,
                entry.data,
                timeout=PUBLISH_TIMEOUT,
                headers=original_headers(entry, self._stream),
            )
            # Only now: whatever ends this process in between, the message is in one place at least.
            await self._delete(entry.sequence)
        except (NatsError, StoreError, OSError) as error:
            return str(error)
        return None

    async def _delete(self, sequence: int) -> None:
        # not erased: overwriting the bytes on disk takes long and hides nothing worth it
        request = json.dumps({"seq": sequence, "no_erase": True}).encode()
        try:
            answer = await self._nc.request(
                f"$JS.API.STREAM.MSG.DELETE.{self._stream}", request, timeout=PUBLISH_TIMEOUT
            )
        except (NatsError, NatsTimeoutError, OSError) as error:
            raise StoreError(f"cannot remove {sequence} of {self._stream}: {error}") from error
        fault = json.loads(answer.data).get("error")
        if fault and fault.get("err_code") not in _GONE:
            raise StoreError(f"cannot remove {sequence}: {fault.get('description')}")

    async def _nothing_left(self, consumer: str) -> bool:
        try:
            return not (await self._js.consumer_info(self._stream, consumer)).num_pending
        except (NatsError, OSError) as error:
            raise StoreError(f"{self._stream} does not answer: {error}") from error

    async def _forget(self, consumer: str) -> None:
        try:
            await self._js.delete_consumer(self._stream, consumer)
        except (NatsError, OSError):
            return  # it goes by itself after a while


_GONE = frozenset({10037, 10043, 10057})
"""What JetStream answers about a message that somebody else has deleted already."""


def original_headers(entry: Entry, stream: str) -> dict[str, str]:
    """Return the headers the original had, with a message id of its own for the replay.

    The id is the same when a replay is repeated after it was interrupted, so that the stream takes
    it once; it differs from the original's, which the stream may still remember.
    """
    headers = {
        name: value
        for name, value in entry.headers.items()
        if not name.lower().startswith(("dlq-", "nats-"))
    }
    headers[MSG_ID] = f"replay:{stream}:{entry.sequence}:{entry.key.time}"
    return headers


def by_reason(entries: Iterable[Entry]) -> list[tuple[str, int]]:
    """Return each reason and how many died of it, the most frequent first."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def ago(seconds: float) -> datetime:
    """Return the time so many seconds ago."""
    return datetime.fromtimestamp(time.time() - seconds, UTC)
