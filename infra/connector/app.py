"""The connector: finds functions, binds them to streams, and scales them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import aiohttp
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.broker import connect
from infra.connector import metrics
from infra.connector.binding import Addresses, Binding
from infra.connector.http.invoker import Invoker, make_session
from infra.connector.jetstream.consumer import BindError, stream_of
from infra.connector.openfaas.autoscaler import Scaler
from infra.connector.openfaas.gateway import Function, Gateway, GatewayError
from infra.connector.settings import ConnectorSettings
from infra.connector.spec import (
    BindingSpec,
    consumer_name,
    read_delivery,
    read_replicas,
    read_topics,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_PAUSE = 1.0
CONNECT_LIMIT = 20.0


class Place(NamedTuple):
    """What a binding joins."""

    function: str
    stream: str


@dataclass
class _Bound:
    spec: BindingSpec
    binding: Binding
    task: asyncio.Task[None]


class Connector:
    """Runs until `stop` is called."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        self._stopped = asyncio.Event()
        self._bound: dict[Place, _Bound] = {}
        self._draining: dict[Place, asyncio.Task[None]] = {}
        self._faults: dict[str, str] = {}
        self._discovery_fault: str | None = "functions are not known yet"
        self._nc: Client | None = None
        self._scaler: Scaler | None = None

    def stop(self) -> None:
        """Let `run` finish the work in hand and return."""
        self._stopped.set()

    async def run(self) -> None:
        """Find functions and deliver messages to them until stopped."""
        settings = self._settings
        nc = await self._connect()
        if nc is None:
            return
        self._nc = nc
        session = make_session(settings.function_connect_timeout)
        gateway = None
        if not settings.fixed_url:
            gateway = Gateway(
                session,
                settings.gateway_url,
                user=settings.basic_auth_user,
                password=settings.basic_auth_password,
                invoke_async=settings.invoke_async,
            )
            self._scaler = Scaler(gateway) if settings.scaling else None
        js = nc.jetstream()
        scaling = asyncio.create_task(self._scale_forever(js))
        try:
            while not self._stopped.is_set() and not nc.is_closed:
                try:
                    await self._unless_stopped(self._discover(gateway, js, session))
                except (NatsError, OSError) as error:
                    log.warning("functions cannot be bound now: %s", error or type(error).__name__)
                try:
                    await asyncio.wait_for(self._stopped.wait(), settings.discovery_interval)
                except TimeoutError:
                    continue
        finally:
            scaling.cancel()
            await self._stop_all()
            await session.close()
            if nc.is_closed:
                log.error("the NATS connection was closed for good: %s", nc.last_error)
            else:
                await nc.close()
        if not self._stopped.is_set():
            raise ConnectionError("the NATS connection was closed for good")

    def checks(self) -> dict[str, str | None]:
        """Return what keeps the connector from working, by dependency."""
        nc = self._nc
        connected = nc is not None and nc.is_connected
        return {
            "nats": None if connected else "no connection",
            "functions": self._discovery_fault,
        }

    def describe(self) -> dict[str, object]:
        """Return the state for people to look at."""
        return {
            "bindings": [bound.binding.describe() for bound in self._bound.values()],
            "unbound": self._faults,
        }

    async def _connect(self) -> Client | None:
        """Connect, however long it takes; None if stopped before."""
        said = ""
        while not self._stopped.is_set():
            connecting = connect(self._settings, "universe-connector")
            try:
                return await self._unless_stopped(asyncio.wait_for(connecting, CONNECT_LIMIT))
            except (NatsError, OSError, TimeoutError) as error:
                text = str(error) or type(error).__name__
                if text != said:
                    log.warning("waiting for NATS at %s: %s", self._settings.nats_url, text)
                said = text
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), CONNECT_PAUSE)
        return None

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do something, but let go of it when this is stopped; return None then."""
        working = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait((working,))
        return None

    # Discovery

    async def _discover(
        self, gateway: Gateway | None, js: JetStreamContext, session: aiohttp.ClientSession
    ) -> None:
        if gateway is None:
            specs: list[BindingSpec] = [self._fixed_spec()]
            faults: dict[str, str] = {}
        else:
            try:
                specs, faults = self._specs(await gateway.functions(), gateway)
            except GatewayError as error:
                metrics.DISCOVERY_FAILURES.inc()
                text = f"the gateway does not answer: {error}"
                if text != self._discovery_fault:
                    log.warning("%s; bindings stay as they are", text)
                # who delivers already goes on; only a connector that knows nothing is not ready
                self._discovery_fault = None if self._bound else text
                return
        wanted, lost = await self._places(specs, faults, js)
        if faults != self._faults:
            for function, fault in faults.items():
                if self._faults.get(function) != fault:
                    log.error("cannot bind %s: %s", function, fault)
            self._faults = faults
        self._apply(wanted, lost, js, session, gateway)
        self._discovery_fault = None
        metrics.BINDINGS.set(len(self._bound))
        metrics.UNBOUND.set(len(faults))

    def _fixed_spec(self) -> BindingSpec:
        settings = self._settings
        assert settings.fixed_url is not None
        return BindingSpec(
            function=settings.function_name,
            url=settings.fixed_url,
            topics=settings.topics,
            stream=settings.stream,
            delivery=settings.delivery_defaults(),
        )

    def _specs(
        self, functions: Iterable[Function], gateway: Gateway
    ) -> tuple[list[BindingSpec], dict[str, str]]:
        settings = self._settings
        specs: list[BindingSpec] = []
        faults: dict[str, str] = {}
        for function in functions:
            try:
                topics = read_topics(function.annotations)
                if topics is None:
                    continue
                delivery = read_delivery(function.annotations, settings.delivery_defaults())
                replicas = read_replicas(
                    function.labels, function.annotations, settings.replica_defaults()
                )
            except ValueError as error:
                faults[function.full_name] = str(error)
                continue
            if self._scaler:
                self._scaler.saw(function.full_name, function.replicas, function.invocations)
            specs.append(
                BindingSpec(
                    function=function.full_name,
                    url=gateway.invocation_url(function.full_name),
                    topics=topics,
                    stream=function.annotations.get("jetstream.stream") or settings.stream,
                    delivery=delivery,
                    replicas=replicas if settings.scaling else None,
                )
            )
        return specs, faults

    async def _places(
        self, specs: Iterable[BindingSpec], faults: dict[str, str], js: JetStreamContext
    ) -> tuple[dict[Place, BindingSpec], set[str]]:
        """Return each binding to have, and the functions whose streams cannot be told now."""
        wanted: dict[Place, BindingSpec] = {}
        lost: set[str] = set()
        for spec in specs:
            by_stream: dict[str, list[str]] = {}
            try:
                for topic in spec.topics:
                    stream = spec.stream or await self._stream_of(js, topic)
                    by_stream.setdefault(stream, []).append(topic)
            except BindError as error:
                faults[spec.function] = str(error)
                lost.add(spec.function)
                continue
            for stream, topics in by_stream.items():
                place = Place(spec.function, stream)
                wanted[place] = BindingSpec(
                    spec.function, spec.url, tuple(topics), stream, spec.delivery, spec.replicas
                )
        return wanted, lost

    async def _stream_of(self, js: JetStreamContext, topic: str) -> str:
        for place, bound in self._bound.items():
            if topic in bound.spec.topics and bound.binding.fault is None:
                return place.stream
        return await stream_of(js, topic)

    def _apply(
        self,
        wanted: dict[Place, BindingSpec],
        lost: set[str],
        js: JetStreamContext,
        session: aiohttp.ClientSession,
        gateway: Gateway | None,
    ) -> None:
        for place, bound in list(self._bound.items()):
            ended = bound.task.done()
            keep = place.function in lost or wanted.get(place) == bound.spec
            if keep and not ended:
                continue
            if not ended:
                log.info("letting go of %s on stream %s", place.function, place.stream)
            bound.binding.stop()
            self._draining[place] = bound.task
            del self._bound[place]
            self._forget_lag(place)
        for place, task in list(self._draining.items()):
            if task.done():
                if not task.cancelled() and (error := task.exception()):
                    log.error("a bug: binding of %s ended", place.function, exc_info=error)
                del self._draining[place]
        for place, spec in wanted.items():
            # a changed binding starts when the one before it has finished its work in hand
            if place not in self._bound and place not in self._draining:
                self._bound[place] = self._start(place, spec, js, session, gateway)

    def _start(
        self,
        place: Place,
        spec: BindingSpec,
        js: JetStreamContext,
        session: aiohttp.ClientSession,
        gateway: Gateway | None,
    ) -> _Bound:
        settings = self._settings
        assert self._nc is not None
        addresses = Addresses(
            stream=place.stream,
            consumer=consumer_name(spec.function, settings.consumer_prefix),
            dlq_stream=settings.dlq_stream.format(stream=place.stream),
            dlq_subject=settings.dlq_subject,
        )
        invoker = Invoker(
            session,
            spec.url,
            f"/jetstream/{place.stream}/{addresses.consumer}",
            batch=spec.delivery.batch,
            timeout=spec.delivery.timeout,
            exists=(lambda: gateway.exists(spec.function)) if gateway else None,
        )
        binding = Binding(spec, addresses, self._nc, js, invoker, settings.breaker_limits())
        task = asyncio.create_task(binding.run(settings.drain_timeout), name=str(place))
        task.add_done_callback(lambda _: None)
        return _Bound(spec, binding, task)

    async def _stop_all(self) -> None:
        for bound in self._bound.values():
            bound.binding.stop()
        tasks = [bound.task for bound in self._bound.values()] + list(self._draining.values())
        if tasks:
            log.info("draining %d bindings", len(tasks))
            await asyncio.wait(tasks)

    # Lag and scaling

    def _forget_lag(self, place: Place) -> None:
        if self._scaler:
            self._scaler.forget(place.function, place.stream)

    async def _scale_forever(self, js: JetStreamContext) -> None:
        while True:
            await asyncio.sleep(self._settings.scale_interval)
            for place, bound in list(self._bound.items()):
                if bound.binding.fault is not None:
                    self._forget_lag(place)
                    continue
                try:
                    info = await js.consumer_info(place.stream, bound.binding.addresses.consumer)
                except (NatsError, OSError) as error:
                    # a missing consumer is no lag: the binding makes it anew
                    log.debug("no lag of %s: %s", place.function, error)
                    continue
                lag = (info.num_pending or 0) + (info.num_ack_pending or 0)
                metrics.LAG.labels(*place).set(lag)
                if self._scaler and bound.spec.replicas:
                    await self._scaler.follow(
                        place.function,
                        place.stream,
                        bound.spec.replicas,
                        lag * bound.binding.events_per_message,
                        time.monotonic(),
                    )
