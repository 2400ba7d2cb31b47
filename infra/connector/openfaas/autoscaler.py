"""Asks the gateway for as many replicas as the lag needs."""

import logging
from dataclasses import replace

from infra.connector import metrics
from infra.connector.openfaas.gateway import Gateway, GatewayError
from infra.connector.openfaas.replicas import ReplicaLimits, ReplicaPlan

log = logging.getLogger(__name__)


class Scaler:
    """Follows the lag of each function."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._plans: dict[str, ReplicaPlan] = {}
        self._replicas: dict[str, int] = {}
        self._invocations: dict[str, float] = {}
        self._active: set[str] = set()
        self._lags: dict[str, dict[str, float]] = {}
        self._keeps_one: set[str] = set()

    def saw(self, function: str, replicas: int, invocations: float) -> None:
        """Take down how many replicas a function has, and how often it was invoked in all."""
        self._replicas[function] = replicas
        if self._invocations.get(function) != invocations:
            self._active.add(function)
        self._invocations[function] = invocations

    def forget(self, function: str, stream: str) -> None:
        """Count the lag on a stream no longer: there is no binding to it that works."""
        self._lags.get(function, {}).pop(stream, None)

    async def follow(
        self, function: str, stream: str, limits: ReplicaLimits, lag: float, now: float
    ) -> None:
        """Scale a function if its lag wants it.

        Args:
            function: its full name.
            stream: where the lag is; a function's lags on several streams add up.
            limits: between what it may be scaled.
            lag: events that wait or are worked on.
            now: the time on a clock that never goes back.
        """
        if function in self._keeps_one:
            limits = replace(limits, zero_after=None, least=max(limits.least, 1))
        plan = self._plans.get(function)
        if plan is None or plan.limits != limits:
            plan = self._plans[function] = ReplicaPlan(limits)
        self._lags.setdefault(function, {})[stream] = lag
        current = self._replicas.get(function)
        if current is None:
            return
        active = function in self._active
        self._active.discard(function)
        wanted = plan.ask(sum(self._lags[function].values()), current, now, active=active)
        if wanted is None or wanted == current:
            return
        try:
            await self._gateway.scale(function, wanted)
        except GatewayError as error:
            if wanted == 0 and error.status == 400:
                self._keeps_one.add(function)
                log.warning(
                    "the engine refuses to scale %s to zero, one replica is kept: %s",
                    function,
                    error,
                )
            else:
                log.warning("cannot scale %s to %d replicas: %s", function, wanted, error)
            return
        self._replicas[function] = wanted
        metrics.REPLICAS_ASKED.labels(function).set(wanted)
        log.info("asked for %d replicas of %s, it had %d", wanted, function, current)
