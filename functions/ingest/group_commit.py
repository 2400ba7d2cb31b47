"""Group commit: events of concurrent requests share JetStream messages."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

MAX_CALL_IDS = 16
"""Correlation ids in the header of a message; those of further requests are left out."""


@dataclass
class _Group:
    """Events of one subject that will be published as one message."""

    events: list[bytes] = field(default_factory=list[bytes])
    size: int = 2  # the brackets
    call_ids: dict[str, None] = field(default_factory=dict[str, None])
    acknowledged: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    timer: asyncio.TimerHandle | None = None

    def payload(self) -> bytes:
        """Return the event where there is one, else a JSON array of them."""
        return self.events[0] if len(self.events) == 1 else b"[" + b",".join(self.events) + b"]"


Publish = Callable[[str, bytes, int, Sequence[str]], Awaitable[None]]
"""Publishes (subject, payload, number of events, correlation ids); returns once it is durable."""


class GroupCommit:
    """Gathers events by subject and publishes them as one message, as Kafka's producer does.

    Args:
        publish: publishes one message, and returns when the broker has acknowledged it.
        max_bytes: the size at which a message is published; a larger event is published alone.
        linger: seconds that an event waits for others.
    """

    def __init__(self, publish: Publish, *, max_bytes: int, linger: float) -> None:
        self._publish = publish
        self._max_bytes = max_bytes
        self._linger = linger
        self._open: dict[str, _Group] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self.pending_bytes = 0
        """Bytes that are not acknowledged yet."""

    async def commit(self, events: dict[str, list[bytes]], call_id: str) -> None:
        """Return when the broker has acknowledged all the events, given by subject.

        Raises:
            Exception: what `publish` raised for a message that holds one of these events. All of
                them have been acknowledged or have failed by then.
        """
        groups = {
            id(group): group
            for subject, of_subject in events.items()
            for group in self._add(subject, of_subject, call_id)
        }
        results = await asyncio.gather(
            *(asyncio.shield(group.acknowledged) for group in groups.values()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _add(self, subject: str, events: list[bytes], call_id: str) -> list[_Group]:
        used: list[_Group] = []
        for event in events:
            group = self._open.get(subject)
            if group and group.size + len(event) + 1 > self._max_bytes:
                self._close(subject)
                group = None
            if group is None:
                group = self._open[subject] = _Group()
                loop = asyncio.get_running_loop()
                group.timer = loop.call_later(self._linger, self._close, subject)
            if not used or used[-1] is not group:
                used.append(group)
                if len(group.call_ids) < MAX_CALL_IDS:
                    group.call_ids[call_id] = None
            group.events.append(event)
            group.size += len(event) + 1
            self.pending_bytes += len(event) + 1
        return used

    def _close(self, subject: str) -> None:
        group = self._open.pop(subject)
        if group.timer:
            group.timer.cancel()
        task = asyncio.get_running_loop().create_task(self._send(subject, group))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _send(self, subject: str, group: _Group) -> None:
        try:
            await self._publish(subject, group.payload(), len(group.events), tuple(group.call_ids))
        except Exception as error:
            group.acknowledged.set_exception(error)
            group.acknowledged.exception()  # the requests may have ended already
        else:
            group.acknowledged.set_result(None)
        finally:
            self.pending_bytes -= group.size - 2
