"""Measures the lag of every binding, and scales the functions on it."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from nats.errors import Error as NatsError

from infra.connector import metrics
from infra.connector.bindings.binding import Binding
from infra.connector.bindings.discovery import BindingKey
from infra.connector.openfaas.autoscaler import Autoscaler
from infra.connector.openfaas.presence import Presence

logger = logging.getLogger(__name__)

MAX_MEASUREMENTS = 16
"""Questions about lag at the same time."""


class Running(Protocol):
    """A binding that runs."""

    binding: Binding


class Scaling:
    """Measures and scales at intervals; nothing that is slow holds up what is not."""

    def __init__(
        self,
        running: Mapping[BindingKey, Running],
        presence: Presence,
        autoscaler: Autoscaler | None,
    ) -> None:
        """Do nothing yet.

        Args:
            running: the bindings that run, at any time.
            presence: which of several connectors scales a function.
            autoscaler: scales functions; None: their lag is only measured.
        """
        self._running = running
        self._presence = presence
        self._autoscaler = autoscaler
        self._slots = asyncio.Semaphore(MAX_MEASUREMENTS)
        self._measuring: dict[BindingKey, asyncio.Task[None]] = {}
        self._requesting: dict[str, asyncio.Task[None]] = {}

    async def run(self, interval: float) -> None:
        """Measure and scale every `interval` seconds until cancelled."""
        try:
            while True:
                await asyncio.sleep(interval)
                self.measure(self._running)
        finally:
            for task in (*self._measuring.values(), *self._requesting.values()):
                task.cancel()

    def measure(self, keys: Iterable[BindingKey]) -> None:
        """Begin to measure bindings, but those that are being measured."""
        for key in keys:
            if key not in self._measuring and (running := self._running.get(key)):
                measuring = self._measure(key, running.binding)
                self._measuring[key] = asyncio.create_task(measuring)

    async def _measure(self, key: BindingKey, binding: Binding) -> None:
        try:
            async with self._slots:
                lag = await self._lag(key, binding)
            if lag is not None:
                self._scale(key, binding, lag)
        except Exception:
            logger.exception("unexpected error: %s is not scaled", key.function)
        finally:
            del self._measuring[key]

    async def _lag(self, key: BindingKey, binding: Binding) -> float | None:
        if binding.fault is not None:
            if self._autoscaler:
                self._autoscaler.forget(*key)
            return None
        try:
            lag = await binding.consumer.lag()
        except (NatsError, OSError) as error:
            # a missing consumer has no lag: the binding creates it again
            logger.debug("no lag of %s: %s", key.function, error)
            return None
        if key in self._running:  # it may have ended meanwhile
            metrics.LAG.labels(*key).set(lag)
        await binding.measured()
        return 0 if binding.pause() else lag  # nobody needs replicas for what is not delivered

    def _scale(self, key: BindingKey, binding: Binding, lag: float) -> None:
        autoscaler, limits = self._autoscaler, binding.spec.replicas
        if autoscaler is None or limits is None:
            return
        events = lag * binding.consumer.sizer.events_per_message
        desired = autoscaler.plan(*key, limits, events, time.monotonic())
        function = key.function
        if (
            desired is None
            or function in self._requesting
            or not self._presence.acts_for(binding.shared_consumer)
        ):
            return
        task = asyncio.create_task(autoscaler.request(function, desired))
        self._requesting[function] = task
        task.add_done_callback(lambda _: self._requesting.pop(function))
