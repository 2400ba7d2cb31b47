"""Which messages are delivered next where messages of a key have to stay in order."""

import math
from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import compress, groupby
from typing import NamedTuple

from infra.connector.delivery.batcher import BatchLimits
from infra.connector.delivery.bisect import halves
from infra.connector.delivery.message import Delivery, Message
from infra.connector.delivery.order_key import NO_KEY, OrderBy
from infra.connector.delivery.queue import DeliveryQueue

LONG_SECONDS = 1.0
"""Messages behind an invocation that runs for longer may be returned to the stream meanwhile."""
MIN_AWAY_SECONDS, MAX_AWAY_SECONDS = 2.0, 15.0
"""For how long a message is returned to the stream; a new owner waits for the longest."""
RELEASE_INTERVAL_SECONDS = 0.25
MAX_KEYS_NAMED = 10


class Entry(NamedTuple):
    """The place of a message, or a part of one, in its lane.

    Attributes:
        sequence: of the whole message, in the stream.
        first: the index of the first event, for a part of a message.
    """

    sequence: int
    first: int


class State(Enum):
    """Where a message is that is not settled."""

    READY = auto()  # all before it are ready, too
    WAITING = auto()  # behind others of its lane
    RETRY = auto()  # waits for the time of a retry
    PARKED = auto()  # a retry that is due and waits for others of its lane
    RUNNING = auto()
    AWAY = auto()  # returned to the stream for a while


@dataclass(slots=True, eq=False)
class Lane:
    """The messages of one key that are not settled.

    Attributes:
        entries: all of them, the first first.
        states: where each of them is.
        waiting: those that wait here behind others.
        parked: retries that are due and wait for others.
        away: when those that were returned to the stream are due.
        running: how many of them are being delivered.
        since: when the last delivery with some of them began.
        due: when the last retry that was scheduled is due.
        ready: how many are ready.
        ready_events: how many events these hold.
        ready_size: how many bytes these hold.
    """

    entries: list[Entry] = field(default_factory=list[Entry])
    states: dict[Entry, State] = field(default_factory=dict[Entry, State])
    waiting: dict[Entry, Message] = field(default_factory=dict[Entry, Message])
    parked: list[Delivery] = field(default_factory=list[Delivery])
    away: dict[Entry, float] = field(default_factory=dict[Entry, float])
    running: int = 0
    since: float = 0.0
    due: float = 0.0
    ready: int = 0
    ready_events: int = 0
    ready_size: int = 0

    def put(self, entry: Entry, state: State) -> None:
        """Set where a message is; it may be one that the lane does not know yet."""
        before = self.states.get(entry)
        if before is None:
            if not self.entries or entry > self.entries[-1]:
                self.entries.append(entry)
            else:
                insort(self.entries, entry)
        self.states[entry] = state
        self.running += (state is State.RUNNING) - (before is State.RUNNING)

    def remove(self, entry: Entry) -> None:
        """Forget a message."""
        self.running -= self.states.pop(entry) is State.RUNNING
        self.away.pop(entry, None)
        self.entries.remove(entry)  # nearly always the first

    @property
    def head(self) -> State:
        """Where the first message is."""
        return self.states[self.entries[0]]

    @property
    def held(self) -> bool:
        """Whether its first message failed, and the others wait for it."""
        return not self.running and self.head in (State.RETRY, State.PARKED, State.AWAY)


class OrderedQueue(DeliveryQueue):
    """Orders deliveries so that messages of a key are processed one after the other.

    Each key has a lane. A message starts only with or after all earlier ones of its lane, by
    sequence, are settled (done or dead-lettered), be they here or returned to the stream. One
    invocation at a time holds messages of a lane, perhaps several, and those of other lanes.
    """

    def __init__(self, limits: BatchLimits, concurrency: int, order_by: OrderBy) -> None:
        """Make an empty queue.

        Args:
            limits: of the batches of new messages.
            concurrency: as in `DeliveryQueue`.
            order_by: tells the key of a message.
        """
        super().__init__(limits, concurrency)
        self.order_by = order_by
        self._lanes: dict[str | None, Lane] = {}
        self._more_to_come = False
        self._waiting_events = 0
        self._released_at = 0.0
        self.away = 0
        """How many messages are returned to the stream and not settled."""

    @property
    def lanes(self) -> int:
        """How many keys have messages that are not settled."""
        return len(self._lanes)

    def held_keys(self) -> int:
        """Return how many keys wait since their first message failed."""
        return sum(lane.held for lane in self._lanes.values())

    def some_held_keys(self) -> list[str]:
        """Return the names of some of these keys."""
        held = [key or NO_KEY for key, lane in self._lanes.items() if lane.held]
        return held[:MAX_KEYS_NAMED]

    @property
    def events_held_back(self) -> int:
        """Events of the messages that wait for a retry or for others of their lanes."""
        return super().events_held_back + self._waiting_events

    def add(self, message: Message, now: float, *, more_to_come: bool) -> bool:
        """Add a message that is new, or comes back from the stream."""
        message.order_key = self.order_by.key_of(message)
        lane = self._lanes.setdefault(message.order_key, Lane())
        entry = _entry(message)
        self._more_to_come = more_to_come
        if lane.away.pop(entry, None) is not None:
            self.away -= 1
            if lane.due > now and lane.entries[0] == entry:
                self.retry_at(Delivery([message]), lane.due)
                return True
        self._wait(lane, entry, message)
        return self._advance(lane, now)

    def _wait(self, lane: Lane, entry: Entry, message: Message) -> None:
        lane.put(entry, State.WAITING)
        lane.waiting[entry] = message
        self._waiting_events += message.events

    def _advance(self, lane: Lane, now: float) -> bool:
        """Make ready what one batch holds of a lane; return whether `next_at` may be earlier."""
        limits, earlier = self.limits, False
        while (
            not lane.running
            and lane.ready < len(lane.entries)
            and lane.ready_events < limits.max_events
            and lane.ready_size < limits.max_bytes
        ):
            entry = lane.entries[lane.ready]
            if lane.states[entry] is not State.WAITING:
                break
            message = lane.waiting.pop(entry)
            self._waiting_events -= message.events
            lane.states[entry] = State.READY
            lane.ready += 1
            lane.ready_events += message.events
            lane.ready_size += message.size
            earlier |= super().add(message, now, more_to_come=self._more_to_come)
        return earlier

    def retry_at(self, delivery: Delivery, due: float) -> None:
        """Deliver messages again from the time `due` on."""
        for message in delivery.messages:
            lane = self._lanes.setdefault(message.top.order_key, Lane())
            lane.put(_entry(message), State.RETRY)
            lane.due = due
        super().retry_at(delivery, due)

    def wait_again(self, messages: Sequence[Message]) -> None:
        """Put messages of a running delivery back in their places, behind those that failed."""
        for message in messages:
            entry = _entry(message)
            if message.parent:  # it is not a new message any more
                self.retry_at(Delivery([message]), 0.0)
            else:
                self._wait(self._lanes.setdefault(message.order_key, Lane()), entry, message)

    def invoked(self, delivery: Delivery, seconds: float, now: float) -> None:
        """Record that a delivery has ended: what is not delivered again of it is settled."""
        super().invoked(delivery, seconds, now)
        for key, messages in groupby(delivery.messages, lambda m: m.top.order_key):
            lane = self._lanes.get(key)
            if lane is None:
                continue
            for message in messages:
                entry = _entry(message)
                if lane.states.get(entry) is State.RUNNING:
                    lane.remove(entry)
            if not lane.running:
                self._resume(key, lane, now)

    def _resume(self, key: str | None, lane: Lane, now: float) -> None:
        """Go on with a lane of which nothing is running."""
        if not lane.entries:
            del self._lanes[key]
            return
        if lane.head is State.PARKED:
            parked, lane.parked = lane.parked, []
            for delivery in parked:
                self._waiting_events -= delivery.events
                self.retry_at(delivery, now)
        self._advance(lane, now)

    def _next(self, now: float, *, busy: bool) -> Delivery | None:
        while delivery := super()._next(now, busy=busy):
            if started := self._start(delivery, now):
                return started
        return None

    def _start(self, delivery: Delivery, now: float) -> Delivery | None:
        """Start what may be of a delivery, and let the rest wait; None if nothing may be."""
        by_lane: dict[str | None, list[Message]] = {}
        for message in delivery.messages:
            by_lane.setdefault(message.top.order_key, []).append(message)
        started: list[Message] = []
        for key, messages in by_lane.items():
            lane = self._lanes[key]
            messages.sort(key=_entry)
            for message in messages:
                self._unready(lane, message)
            number = 0
            if not lane.running:
                first = lane.entries[: len(messages)]
                for message, entry in zip(messages, first, strict=False):
                    if _entry(message) != entry:
                        break
                    number += 1
            for message in messages[:number]:
                lane.put(_entry(message), State.RUNNING)
            if number:
                lane.since = now
                started += messages[:number]
            if blocked := messages[number:]:
                self._block(lane, replace(delivery, messages=blocked))
                self._advance(lane, now)
        if not started:
            return None
        started.sort(key=_entry)
        return replace(delivery, messages=started)

    def _unready(self, lane: Lane, message: Message) -> None:
        if lane.states[_entry(message)] is State.READY:
            lane.ready -= 1
            lane.ready_events -= message.events
            lane.ready_size -= message.size

    def _block(self, lane: Lane, delivery: Delivery) -> None:
        """Let messages that were to start wait for others of their lane."""
        if lane.states[_entry(delivery.messages[0])] is State.READY:
            for message in delivery.messages:
                self._wait(lane, _entry(message), message)
            return
        for message in delivery.messages:
            lane.put(_entry(message), State.PARKED)
        lane.parked.append(delivery)
        self._waiting_events += delivery.events

    def release_delayed(self, now: float, min_delay: float) -> list[tuple[Delivery, float]]:
        """Remove and return what waits long, for a retry or behind one; it stays known."""
        if now - self._released_at < RELEASE_INTERVAL_SECONDS:
            return []
        self._released_at = now
        released: list[tuple[Delivery, float]] = []
        for delivery, delay in super().release_delayed(now, min_delay):
            # what comes back too early waits here until it is due
            released.append((delivery, min(delay, MAX_AWAY_SECONDS)))
        for lane in self._lanes.values():
            if lane.waiting and (until := self._blocked_until(lane, now, min_delay)) is not None:
                messages = list(lane.waiting.values())
                lane.waiting.clear()
                self._waiting_events -= sum(message.events for message in messages)
                delay = min(max(until - now, MIN_AWAY_SECONDS), MAX_AWAY_SECONDS)
                released.append((Delivery(messages), delay))
        for delivery, delay in released:
            self._go_away(delivery.messages, now + delay)
        return released

    def release_all(self, now: float) -> list[tuple[Delivery, float]]:
        """Remove and return all that can be returned to the stream; it stays known."""
        messages = self._new.take_all()
        for message in messages:
            self._unready(self._lanes[message.order_key], message)
        for lane in self._lanes.values():
            messages += lane.waiting.values()
            lane.waiting.clear()
        self._waiting_events = sum(
            delivery.events for lane in self._lanes.values() for delivery in lane.parked
        )
        retries = [each for each, _ in super().release_delayed(now, -math.inf)]
        released = [Delivery(messages), *retries] if messages else retries
        for delivery in released:
            self._go_away(delivery.messages, now + MIN_AWAY_SECONDS)
        return [(delivery, MIN_AWAY_SECONDS) for delivery in released]

    def _go_away(self, messages: Sequence[Message], due: float) -> None:
        for message in messages:
            lane, entry = self._lanes[message.order_key], _entry(message)
            lane.put(entry, State.AWAY)
            lane.away[entry] = due
        self.away += len(messages)

    def _blocked_until(self, lane: Lane, now: float, min_delay: float) -> float | None:
        """Return until when a lane is blocked as far as is known; None: not for long."""
        if lane.running:
            return now if now - lane.since > LONG_SECONDS else None
        if lane.head is State.RETRY:
            return lane.due if lane.due - now >= min_delay else None
        if lane.head is State.AWAY:
            return lane.away.get(lane.entries[0], now)
        return None

    def forget_away(self, now: float, overdue: float) -> int:
        """Forget messages that were due so many seconds ago and did not come: they are settled.

        Returns:
            How many they were.
        """
        forgotten = 0
        for key, lane in list(self._lanes.items()):
            gone = [entry for entry, due in lane.away.items() if now - due > overdue]
            for entry in gone:
                lane.remove(entry)
            forgotten += len(gone)
            if gone and not lane.running:
                self._resume(key, lane, now)
        self.away -= forgotten
        return forgotten

    def clear(self) -> None:
        """Drop everything but what is known of running deliveries."""
        super().clear()
        self._waiting_events = self.away = 0
        for key, lane in list(self._lanes.items()):
            running = [e for e in lane.entries if lane.states[e] is State.RUNNING]
            del self._lanes[key]
            if running:
                states = dict.fromkeys(running, State.RUNNING)
                self._lanes[key] = Lane(running, states, running=len(running), since=lane.since)


def halve_by_lane(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """Return two halves that have no lane in common, if there are two lanes."""
    sizes = Counter(message.top.order_key for message in messages)
    if len(sizes) == 1:
        return halves(messages)
    middle = len(messages) // 2
    *others, _ = sizes
    first = {others[0]}
    number = sizes[others[0]]
    for key in others[1:]:
        if number + sizes[key] / 2 > middle:
            break
        first.add(key)
        number += sizes[key]
    in_first = [message.top.order_key in first for message in messages]
    return (
        list(compress(messages, in_first)),
        [message for message, there in zip(messages, in_first, strict=True) if not there],
    )


def _entry(message: Message) -> Entry:
    return Entry(message.key.sequence, message.key.first)
