"""Group commit: events of concurrent requests share JetStream messages."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

logger = logging.getLogger(__name__)

MAX_CALL_IDS = 16
"""Correlation ids in the header of a message; those of further requests are left out."""
MAX_GATHER = 0.05
"""Seconds that an event waits at most while a message of its subject is on its way."""

Done = Callable[[Exception | None], None]
"""Takes what became of a message: its error, None if it has been acknowledged."""


@dataclass(slots=True)
class _Group:
    """Events of one subject that will be published as one message.

    Attributes:
        waiting: what tells each request of the message's fate. (A future that all wait for would be
            cancelled with the first of them.)
    """

    timer: asyncio.TimerHandle
    events: list[bytes] = field(default_factory=list[bytes])
    size: int = 2  # the brackets
    call_ids: dict[str, None] = field(default_factory=dict[str, None])
    waiting: list[Done] = field(default_factory=list[Done])

    def payload(self) -> bytes:
        """Return the event where there is one, else a JSON array of them."""
        return self.events[0] if len(self.events) == 1 else b"[" + b",".join(self.events) + b"]"

    def acknowledged(self) -> asyncio.Future[Exception | None]:
        """Return what tells one more request of the message's fate."""
        future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.waiting.append(partial(_tell, future))
        return future

    def finish(self, error: Exception | None) -> None:
        """Tell the requests what became of the message.

        A future must not stay where a frame in the error's traceback leads to it: such a cycle
        would keep the events in memory until the garbage collector comes.
        """
        for done in self.waiting:
            try:
                done(error)
            except Exception:  # the others are to hear of it all the same
                logger.exception("request not answered")
        self.waiting.clear()


def _tell(request: asyncio.Future[Exception | None], error: Exception | None) -> None:
    if not request.done():
        request.set_result(error)


Publish = Callable[[str, bytes, int, Sequence[str]], Awaitable[None]]
"""Publishes (subject, payload, number of events, correlation ids); returns once it is durable."""


class GroupCommit:
    """Gathers events by subject and publishes them as one message, as Kafka's producer does.

    While a message of a subject is on its way, further events of it are gathered until it is
    acknowledged: few messages cost the broker, and all who receive them, less than many.

    Args:
        publish: publishes one message, and returns when the broker has acknowledged it.
        max_bytes: the size at which a message is published; a larger event is published alone.
        linger: seconds that an event waits for others where no message is on its way.
    """

    def __init__(self, publish: Publish, *, max_bytes: int, linger: float) -> None:
        self._publish = publish
        self._max_bytes = max_bytes
        self._linger = linger
        self._max_gather = max(linger, MAX_GATHER)
        self._open: dict[str, _Group] = {}
        self._on_its_way: dict[str, int] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self.pending_bytes = 0
        """Bytes that are not acknowledged yet."""

    async def commit(self, events: dict[str, list[bytes]], call_id: str) -> None:
        """Return when the broker has acknowledged all the events, given by subject.

        Raises:
            Exception: what `publish` raised for a message that holds one of these events. All of
                them have been acknowledged or have failed by then.
        """
        acknowledged = [
            group.acknowledged()
            for subject, of_subject in events.items()
            for group in self._add(subject, of_subject, call_id)
        ]
        failed: Exception | None = None
        while acknowledged:
            failed = await acknowledged.pop() or failed
        if failed:
            try:
                raise failed
            finally:
                del failed  # a cycle, as in `_Group.finish`

    def add(self, subject: str, event: bytes, call_id: str, done: Done) -> None:
        """Do the same with one event, without a coroutine for it.

        Args:
            subject: of the event.
            event: its bytes.
            call_id: the correlation id of its request.
            done: is told of it, later.
        """
        [group] = self._add(subject, [event], call_id)
        group.waiting.append(done)

    def _add(self, subject: str, events: list[bytes], call_id: str) -> list[_Group]:
        used: list[_Group] = []
        group = self._open.get(subject)
        for event in events:
            size = len(event) + 1
            if group and group.size + size > self._max_bytes:
                self._close(subject)
                group = None
            if group is None:
                group = self._open[subject] = self._new_group(subject)
            if not used or used[-1] is not group:
                used.append(group)
                if len(group.call_ids) < MAX_CALL_IDS:
                    group.call_ids[call_id] = None
            group.events.append(event)
            group.size += size
            self.pending_bytes += size
        return used

    def _new_group(self, subject: str) -> _Group:
        wait = self._max_gather if subject in self._on_its_way else self._linger
        loop = asyncio.get_running_loop()
        return _Group(loop.call_later(wait, self._close, subject))

    def _close(self, subject: str) -> None:
        group = self._open.pop(subject)
        group.timer.cancel()
        self._on_its_way[subject] = self._on_its_way.get(subject, 0) + 1
        task = asyncio.get_running_loop().create_task(self._send(subject, group))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _send(self, subject: str, group: _Group) -> None:
        try:
            await self._publish(subject, group.payload(), len(group.events), tuple(group.call_ids))
        except Exception as error:
            group.finish(error)
        else:
            group.finish(None)
        finally:
            self.pending_bytes -= group.size - 2
            self._returned(subject)

    def _returned(self, subject: str) -> None:
        """Publish what was gathered, unless another message of the subject is still on its way."""
        self._on_its_way[subject] -= 1
        if self._on_its_way[subject]:
            return
        del self._on_its_way[subject]
        if subject in self._open:
            self._close(subject)
