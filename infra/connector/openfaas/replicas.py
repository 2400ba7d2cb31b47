"""How many replicas of a function to ask for."""

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class ReplicaLimits:
    """The bounds and the slowness of scaling.

    Attributes:
        least: replicas to keep, where the function may not go to zero.
        most: replicas never to exceed.
        lag_per_replica: events of backlog that one replica is expected to work off.
        hold: seconds that a lower number must have been enough before replicas are given up.
        zero_after: seconds without lag and invocations after which none are kept; None keeps
            `least`.
    """

    least: int = 1
    most: int = 20
    lag_per_replica: int = 10_000
    hold: float = 60.0
    zero_after: float | None = None


class ReplicaPlan:
    """Follows the lag up at once and down slowly.

    Going up never waits. Going down takes the largest number that was needed at any time in the
    last `hold` seconds, so that a lag that swings does not make replicas come and go.
    """

    def __init__(self, limits: ReplicaLimits) -> None:
        self.limits = limits
        self._needed: deque[tuple[float, int]] = deque()
        self._since: float | None = None
        self._idle_since: float | None = None

    def ask(self, lag: float, current: int, now: float, *, active: bool = False) -> int | None:
        """Return the number of replicas to ask for, or None to leave them as they are.

        Args:
            lag: events that wait or are being worked on.
            current: how many replicas are asked for at present.
            now: the time on a clock that never goes back.
            active: whether the function was invoked since the last question, by anybody.
        """
        limits = self.limits
        self._since = now if self._since is None else self._since
        needed = min(max(math.ceil(lag / limits.lag_per_replica), limits.least, 1), limits.most)
        while self._needed and self._needed[-1][1] <= needed:
            self._needed.pop()
        self._needed.append((now, needed))
        while self._needed[0][0] < now - limits.hold:
            self._needed.popleft()
        idle_for = self._idle(active or lag > 0, now)
        if lag > 0 and needed > current:
            return needed
        if current == 0:
            return None  # the engine starts it when it is needed
        if limits.zero_after is not None and idle_for >= limits.zero_after:
            return 0
        most_needed = self._needed[0][1]
        if current < limits.least:
            return limits.least
        if most_needed < current and now - self._since >= limits.hold:
            return most_needed
        return None

    def _idle(self, busy: bool, now: float) -> float:
        if busy:
            self._idle_since = None
            return 0.0
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since
