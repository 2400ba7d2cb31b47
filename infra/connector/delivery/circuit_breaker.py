"""Keeps a bad deployment from emptying the stream into the dead-letter queue."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from infra.connector.delivery.backoff import Backoff

COOLDOWN = Backoff((30.0, 60.0, 120.0, 300.0), jitter=0.0)
"""How long the breaker pauses, where nobody says otherwise."""


class BreakerState(Enum):
    """Whether dead letters may pass."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True)
class BreakerLimits:
    """When the breaker opens, and for how long.

    Attributes:
        ratio: the part of the messages decided that must have turned out dead.
        least: how many dead messages there must be at the least.
        window: seconds that a decision counts.
        cooldown: how long to pause, by how often it opened in a row.
    """

    ratio: float = 0.9
    least: int = 20
    window: float = 60.0
    cooldown: Backoff = COOLDOWN


class Breaker:
    """Decides whether messages that turned out dead may be dead-lettered now.

    Closed, it lets them pass until nearly everything turns out dead. Open, it lets nothing pass and
    the binding pauses. After the cool-down one message is tried: if it is done, the breaker closes;
    if it is dead, that one passes and the breaker opens again for longer.
    """

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._decisions: deque[tuple[float, float, float]] = deque()
        self._done = self._dead = 0.0
        self._openings = 0
        self._open_until: float | None = None

    def state(self, now: float) -> BreakerState:
        """Return the state at the time `now`."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    @property
    def opens_until(self) -> float:
        """The end of the pause; 0 while closed."""
        return self._open_until or 0.0

    def decide(self, done: float, dead: float, now: float) -> bool:
        """Count how messages turned out, and return whether the dead ones may pass.

        Args:
            done: how many are done; a message with some dead events counts in parts.
            dead: how many are dead.
            now: the time on a clock that never goes back.
        """
        if self._open_until is not None:
            if now < self._open_until:
                # invocations that ran when it opened; done ones are no proof against the others
                return False
            if done > dead:
                self._close()
            elif dead > 0:
                self._open(now)
            return True
        self._count(done, dead, now)
        if (
            dead > 0
            and self._dead >= self._limits.least
            and (self._dead >= self._limits.ratio * (self._done + self._dead))
        ):
            self._open(now)
            return False
        return True

    def _count(self, done: float, dead: float, now: float) -> None:
        self._decisions.append((now, done, dead))
        self._done += done
        self._dead += dead
        while self._decisions and self._decisions[0][0] <= now - self._limits.window:
            _, old_done, old_dead = self._decisions.popleft()
            self._done -= old_done
            self._dead -= old_dead

    def _open(self, now: float) -> None:
        self._openings += 1
        self._open_until = now + self._limits.cooldown.delay(self._openings, 1.0)

    def _close(self) -> None:
        self._open_until = None
        self._openings = 0
        self._decisions.clear()
        self._done = self._dead = 0.0
