"""Stops delivery when nearly every message turns out dead, as after a bad deployment."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from functions.common.backoff import Backoff

DEFAULT_COOLDOWN = Backoff((30.0, 60.0, 120.0, 300.0), jitter=0.0)


class BreakerState(Enum):
    """Whether messages may be dead-lettered."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True)
class BreakerLimits:
    """When the breaker opens, and for how long.

    Attributes:
        ratio: dead messages as a fraction of all messages decided within the window, from which it
            opens.
        min_messages: dead messages within the window below which it stays closed.
        window: seconds that an outcome counts.
        cooldown: how long it stays open, by how often it opened in a row.
    """

    ratio: float = 0.9
    min_messages: int = 20
    window: float = 60.0
    cooldown: Backoff = DEFAULT_COOLDOWN


class CircuitBreaker:
    """Decides whether dead messages may be dead-lettered now.

    Closed, it allows them until nearly every message turns out dead. Open, it allows none, and the
    binding pauses. After the cool-down it is half-open and one message is tried: if that is done,
    the breaker closes; if it is dead, that one is dead-lettered and the breaker opens for longer.
    """

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._outcomes: deque[tuple[float, float, float]] = deque()
        self._done = self._dead = 0.0
        self._openings = 0
        self._open_until: float | None = None

    def state(self, now: float) -> BreakerState:
        """Return the state at the time `now`."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    @property
    def open_until(self) -> float:
        """When the cool-down ends; 0 while closed."""
        return self._open_until or 0.0

    def decide(self, done: float, dead: float, now: float) -> bool:
        """Record how messages turned out, and return whether the dead ones may be dead-lettered.

        Args:
            done: how many are done; a message of which some events are dead counts as a fraction.
            dead: how many are dead, counted in the same way.
            now: the time on a monotonic clock, in seconds.
        """
        if self._open_until is not None:
            if now < self._open_until:
                # from invocations that ran when it opened: successes prove nothing about the others
                return False
            if done > dead:
                self._close()
            elif dead > 0:
                self._open(now)
            return True
        self._record(done, dead, now)
        if (
            dead > 0
            and self._dead >= self._limits.min_messages
            and (self._dead >= self._limits.ratio * (self._done + self._dead))
        ):
            self._open(now)
            return False
        return True

    def _record(self, done: float, dead: float, now: float) -> None:
        self._outcomes.append((now, done, dead))
        self._done += done
        self._dead += dead
        while self._outcomes and self._outcomes[0][0] <= now - self._limits.window:
            _, old_done, old_dead = self._outcomes.popleft()
            self._done -= old_done
            self._dead -= old_dead

    def _open(self, now: float) -> None:
        self._openings += 1
        self._open_until = now + self._limits.cooldown.delay(self._openings, 1.0)

    def _close(self) -> None:
        self._open_until = None
        self._openings = 0
        self._outcomes.clear()
        self._done = self._dead = 0.0
