"""Whether another invocation may start: what throttle, limit and breaker say together."""

from infra.connector.delivery.adaptive_limit import AdaptiveLimit
from infra.connector.delivery.circuit_breaker import BreakerState, CircuitBreaker
from infra.connector.delivery.shared_limits import SharedLimits
from infra.connector.delivery.throttle import Throttle


class Gate:
    """Admits the invocations of one function."""

    def __init__(self, throttle: Throttle, breaker: CircuitBreaker, shared: SharedLimits) -> None:
        self.throttle = throttle
        self.breaker = breaker
        self.shared = shared
        self.limit = AdaptiveLimit()

    def may_invoke(self, now: float, running: int) -> bool:
        """Return whether another invocation may start.

        Args:
            now: the time on a monotonic clock, in seconds.
            running: how many invocations are running.
        """
        state = self.breaker.state(now)
        return (
            self.throttle.may_invoke(now, running)
            and self.limit.allows(running)
            and self.shared.allows(running, now)
            and state is not BreakerState.OPEN
            and not (state is BreakerState.HALF_OPEN and running)
        )

    def trial(self, now: float) -> bool:
        """Return whether the next invocation is a trial, of one message only."""
        return self.breaker.state(now) is BreakerState.HALF_OPEN or self.throttle.failing

    def open(self, now: float) -> bool:
        """Return whether neither of the two holds invocations back."""
        return self.throttle.healthy and self.breaker.state(now) is BreakerState.CLOSED

    @property
    def failing(self) -> bool:
        """Whether invocations fail one after the other, without a success in between."""
        return self.throttle.failing

    @property
    def resume_at(self) -> float:
        """When invocations may start again; in the past if they may now."""
        return max(self.held_until, self.shared.resume_at)

    @property
    def held_until(self) -> float:
        """As `resume_at`, as far as the function is the reason."""
        return max(self.throttle.resume_at, self.breaker.open_until)
