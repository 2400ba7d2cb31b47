"""Which messages are delivered next."""

import heapq
from dataclasses import replace
from itertools import count

from infra.connector.delivery.batcher import Accumulator, BatchLimits
from infra.connector.delivery.message import Message
from infra.connector.delivery.unit import Unit


class Schedule:
    """Orders fresh messages and those that are to be delivered again.

    Fresh messages get their turns between those, so that none keeps the others waiting. A unit
    under suspicion runs alone, after those that run have ended.
    """

    def __init__(self, limits: BatchLimits, concurrency: int) -> None:
        self._fresh: Accumulator[Message] = Accumulator(limits)
        self._concurrency = concurrency
        self._later: list[tuple[float, int, Unit]] = []
        self._order = count()
        self._fresh_turns = 0
        self.events_later = 0
        """Events of the messages that are to be delivered again."""

    def add(self, message: Message, now: float, *, more_to_come: bool) -> bool:
        """Take a fresh message in; `more_to_come` as in `Accumulator.add`.

        Returns:
            Whether `next_at` may be earlier now.
        """
        self._fresh.add(message, now, more_to_come=more_to_come)
        return not more_to_come or len(self._fresh) == 1 or self._fresh.full

    def put_off(self, unit: Unit, due: float) -> None:
        """Deliver a unit again from the time `due` on."""
        heapq.heappush(self._later, (due, next(self._order), unit))
        self.events_later += unit.events

    def next_at(self, *, busy: bool) -> float | None:
        """Return the time from which there is something to deliver; None if nothing waits."""
        times = [at for at in (self._fresh.ready_at(busy=busy),) if at is not None]
        if self._later:
            times.append(self._later[0][0])
        return min(times, default=None)

    def take(self, now: float, *, busy: bool, one: bool = False) -> Unit | None:
        """Return what is to be delivered now, if there is anything.

        Args:
            now: the time on a clock that never goes back.
            busy: whether an invocation runs.
            one: whether to take no more than one message, to try how the function is.
        """
        unit = self._choose(now, busy=busy)
        if unit and one and len(unit.messages) > 1:
            self.put_off(replace(unit, messages=unit.messages[1:]), now)
            return replace(unit, messages=unit.messages[:1])
        return unit

    def _choose(self, now: float, *, busy: bool) -> Unit | None:
        fresh = self._fresh.ready(now, busy=busy)
        if self._later and self._later[0][0] <= now:
            exclusive = self._later[0][2].exclusive
            if not (fresh and self._fresh_turns > 0):
                if exclusive and busy:
                    return None
                self._fresh_turns = self._concurrency if exclusive else 1
                return self._pop()
        if not fresh:
            return None
        self._fresh_turns = max(self._fresh_turns - 1, 0)
        return Unit(self._fresh.take())

    def _pop(self) -> Unit:
        unit = heapq.heappop(self._later)[2]
        self.events_later -= unit.events
        return unit

    def shed(self, now: float, wait: float) -> list[tuple[Unit, float]]:
        """Take out the units that are not due for `wait` seconds; return each with its wait.

        Units under suspicion stay, and so do parts of messages.
        """
        kept: list[tuple[float, int, Unit]] = []
        shed: list[tuple[Unit, float]] = []
        for due, order, unit in self._later:
            if unit.exclusive or due - now < wait or any(m.parent for m in unit.messages):
                kept.append((due, order, unit))
            else:
                shed.append((unit, due - now))
                self.events_later -= unit.events
        heapq.heapify(kept)
        self._later = kept
        return shed

    def clear(self) -> None:
        """Forget everything."""
        self._fresh.take_all()
        self._later.clear()
        self.events_later = 0
