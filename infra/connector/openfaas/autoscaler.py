"""Scales functions on their lag: how many replicas are needed, and the requests to the gateway."""

import logging
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from infra.connector import metrics
from infra.connector.errors import GatewayError
from infra.connector.openfaas.gateway import DeployedFunction, Gateway

logger = logging.getLogger(__name__)

LISTINGS_UNTIL_ZERO = 3
"""So many times may a function be listed with replicas after the engine has accepted none."""


@dataclass(frozen=True)
class ReplicaLimits:
    """The bounds of scaling, and how slowly replicas are removed.

    Attributes:
        min_replicas: at least that many, unless the function may be scaled to zero.
        max_replicas: at most that many.
        lag_per_replica: events of lag for which one replica is needed.
        stabilization_window: seconds that fewer replicas must have been enough before replicas are
            removed.
        zero_after: seconds without lag and invocations after which the function is scaled to zero;
            None never does.
    """

    min_replicas: int = 1
    max_replicas: int = 20
    lag_per_replica: int = 20_000
    stabilization_window: float = 60.0
    zero_after: float | None = None


class ReplicaPlanner:
    """Decides how many replicas a function needs.

    Scaling up is immediate. Scaling down takes the largest number that was needed at any time in
    the stabilization window, so that a lag that oscillates does not add and remove replicas.
    """

    def __init__(self, limits: ReplicaLimits) -> None:
        self.limits = limits
        self._needed: deque[tuple[float, int]] = deque()
        self._since: float | None = None
        self._idle_since: float | None = None

    def desired_replicas(
        self, lag: float, current: int, now: float, *, active: bool = False
    ) -> int | None:
        """Return the number of replicas to request; None to leave it as it is.

        Args:
            lag: events that are pending or being processed.
            current: how many replicas are requested at present.
            now: the time on a monotonic clock, in seconds.
            active: whether anyone has invoked the function since the last call.
        """
        limits = self.limits
        self._since = now if self._since is None else self._since
        needed = math.ceil(lag / limits.lag_per_replica)
        needed = min(max(needed, limits.min_replicas, 1), limits.max_replicas)
        while self._needed and self._needed[-1][1] <= needed:
            self._needed.pop()
        self._needed.append((now, needed))
        while self._needed[0][0] < now - limits.stabilization_window:
            self._needed.popleft()
        idle_seconds = self._idle_seconds(active or lag > 0, now)
        if lag > 0 and needed > current:
            return needed
        if current == 0:
            return None  # the engine starts it when it is invoked
        if limits.zero_after is not None and idle_seconds >= limits.zero_after:
            return 0
        max_needed = self._needed[0][1]
        if current < limits.min_replicas:
            return limits.min_replicas
        if max_needed < current and now - self._since >= limits.stabilization_window:
            return max_needed
        return None

    def _idle_seconds(self, busy: bool, now: float) -> float:
        if busy:
            self._idle_since = None
            return 0.0
        self._idle_since = now if self._idle_since is None else self._idle_since
        return now - self._idle_since


class Autoscaler:
    """Keeps the replicas of each function at what its lag needs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._planners: dict[str, ReplicaPlanner] = {}
        self._replicas: dict[str, int] = {}
        self._invocations: dict[str, float] = {}
        self._active: set[str] = set()
        self._lags: dict[str, dict[str, float]] = {}
        self._without_zero: set[str] = set()
        self._listed_since_zero: dict[str, int] = {}

    def observe(self, functions: Iterable[DeployedFunction]) -> None:
        """Record the replicas of functions, and which were invoked since they were last listed."""
        for function in functions:
            name = function.full_name
            self._replicas[name] = function.replicas
            if self._invocations.get(name) != function.invocations:
                self._active.add(name)
            self._check_zero(name, function.replicas)
            self._invocations[name] = function.invocations

    def _check_zero(self, name: str, replicas: int) -> None:
        """Find out whether an engine that accepted a scale to zero does it."""
        listed = self._listed_since_zero.get(name)
        if listed is None:
            return
        if replicas == 0 or name in self._active:
            del self._listed_since_zero[name]
            return
        self._listed_since_zero[name] = listed + 1
        if listed + 1 < LISTINGS_UNTIL_ZERO:
            return
        del self._listed_since_zero[name]
        self._without_zero.add(name)
        logger.warning(
            "the engine accepts to scale %s to zero and keeps replicas (%d), as OpenFaaS' "
            "Community Edition does: one is kept, and it is not asked again",
            name,
            replicas,
        )

    def forget(self, function: str, stream: str) -> None:
        """Ignore the lag on a stream from now on: no binding to it works."""
        lags = self._lags.get(function, {})
        lags.pop(stream, None)
        if not lags:
            self._lags.pop(function, None)
            self._planners.pop(function, None)

    def plan(
        self, function: str, stream: str, limits: ReplicaLimits, lag: float, now: float
    ) -> int | None:
        """Return the number of replicas to request of a function; None to leave it as it is.

        Args:
            function: its full name.
            stream: where the lag is; lags on several streams are added.
            limits: the bounds of scaling.
            lag: events that are pending or being processed.
            now: the time on a monotonic clock, in seconds.
        """
        if function in self._without_zero:
            limits = replace(limits, zero_after=None, min_replicas=max(limits.min_replicas, 1))
        planner = self._planners.get(function)
        if planner is None or planner.limits != limits:
            planner = self._planners[function] = ReplicaPlanner(limits)
        self._lags.setdefault(function, {})[stream] = lag
        current = self._replicas.get(function)
        if current is None:
            return None
        active = function in self._active
        self._active.discard(function)
        total = sum(self._lags[function].values())
        desired = planner.desired_replicas(total, current, now, active=active)
        return None if desired == current else desired

    async def request(self, function: str, desired: int) -> None:
        """Request a number of replicas of a function; a refusal is logged."""
        current = self._replicas.get(function)
        try:
            await self._gateway.scale(function, desired)
        except GatewayError as error:
            if desired == 0 and error.status == 400:
                self._without_zero.add(function)
                logger.warning(
                    "the engine refuses to scale %s to zero, one replica is kept: %s",
                    function,
                    error,
                )
            else:
                logger.warning("cannot scale %s to %d replicas: %s", function, desired, error)
            return
        if desired == 0:
            self._listed_since_zero.setdefault(function, 0)
        else:
            self._listed_since_zero.pop(function, None)
        self._replicas[function] = desired
        metrics.DESIRED_REPLICAS.labels(function).set(desired)
        logger.info("scaled %s from %s to %d replicas", function, current, desired)
