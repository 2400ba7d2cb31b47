"""The connector: finds functions, binds them to streams, and scales them on their lag."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import aiohttp
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.broker import connect, without_login
from functions.common.log_on_change import LogOnChange
from infra.connector import metrics
from infra.connector.binding import Binding
from infra.connector.dlq.publisher import DeadLetterPublisher
from infra.connector.errors import BindError, GatewayError, NatsClosedError
from infra.connector.http.invoker import Invoker, make_session
from infra.connector.jetstream.consumer import ConsumerTarget, consumer_name, stream_of
from infra.connector.openfaas.annotations import (
    read_delivery_options,
    read_replica_limits,
    read_topics,
)
from infra.connector.openfaas.autoscaler import Autoscaler
from infra.connector.openfaas.gateway import DeployedFunction, Gateway
from infra.connector.settings import ConnectorSettings
from infra.connector.spec import BindingSpec

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_RETRY_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 20.0


class BindingKey(NamedTuple):
    """Identifies a binding."""

    function: str
    stream: str


@dataclass
class RunningBinding:
    """A binding and the task that runs it."""

    spec: BindingSpec
    binding: Binding
    task: asyncio.Task[None]


@dataclass(frozen=True)
class Connections:
    """What bindings need to reach NATS, functions and the gateway.

    Attributes:
        nc: the NATS connection.
        js: its JetStream context.
        session: the HTTP client.
        gateway: the gateway; None with a fixed URL.
    """

    nc: Client
    js: JetStreamContext
    session: aiohttp.ClientSession
    gateway: Gateway | None


class Connector:
    """Runs until `stop` is called."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        self._stopped = asyncio.Event()
        self._running: dict[BindingKey, RunningBinding] = {}
        self._draining: dict[BindingKey, asyncio.Task[None]] = {}
        self._faults: dict[str, str] = {}
        self._discovery_fault: str | None = "functions are not known yet"
        self._nc: Client | None = None
        self._autoscaler: Autoscaler | None = None
        self._changes = LogOnChange(logger)

    def stop(self) -> None:
        """Let `run` drain and return."""
        self._stopped.set()

    async def run(self) -> None:
        """Find functions and deliver messages to them until stopped.

        Raises:
            NatsClosedError: the NATS connection was closed for good.
        """
        settings = self._settings
        nc = await self._connect()
        if nc is None:
            return
        self._nc = nc
        session = make_session(settings.function_connect_timeout)
        gateway = self._make_gateway(session)
        if gateway and settings.scaling:
            self._autoscaler = Autoscaler(gateway)
        js = nc.jetstream()  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
        connections = Connections(nc, js, session, gateway)
        scaling = asyncio.create_task(self._scale_forever())
        try:
            while not self._stopped.is_set() and not nc.is_closed:
                try:
                    await self._unless_stopped(self._discover(connections))
                except (NatsError, OSError) as error:
                    logger.warning("cannot bind functions: %s", error or type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), settings.discovery_interval)
        finally:
            scaling.cancel()
            await self._stop_bindings()
            await session.close()
            if nc.is_closed:
                logger.error("the NATS connection was closed for good: %s", nc.last_error)
            else:
                await nc.close()
        if not self._stopped.is_set():
            raise NatsClosedError("the NATS connection was closed for good")

    def checks(self) -> dict[str, str | None]:
        """Return for each dependency why the connector cannot work, or None if it can."""
        connected = self._nc is not None and self._nc.is_connected
        return {
            "nats": None if connected else "no connection",
            "functions": self._discovery_fault,
        }

    def describe(self) -> dict[str, object]:
        """Return the state, for `/bindings`."""
        return {
            "bindings": [running.binding.describe() for running in self._running.values()],
            "unbound": self._faults,
        }

    async def _connect(self) -> Client | None:
        """Connect, however long it takes; return None if stopped before."""
        url = without_login(self._settings.nats_url)
        while not self._stopped.is_set():
            connecting = connect(self._settings, "universe-connector")
            try:
                return await self._unless_stopped(
                    asyncio.wait_for(connecting, CONNECT_TIMEOUT_SECONDS)
                )
            except (NatsError, OSError, TimeoutError) as error:
                text = str(error) or type(error).__name__
                self._changes.log("nats", f"waiting for NATS at {url}: {text}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), CONNECT_RETRY_SECONDS)
        return None

    def _make_gateway(self, session: aiohttp.ClientSession) -> Gateway | None:
        settings = self._settings
        if settings.fixed_url:
            return None
        return Gateway(
            session,
            settings.gateway_url,
            user=settings.basic_auth_user,
            password=settings.basic_auth_password,
            invoke_async=settings.invoke_async,
        )

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await something, but cancel it when this is stopped; return None then."""
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

    async def _discover(self, connections: Connections) -> None:
        faults: dict[str, str] = {}
        gateway = connections.gateway
        if gateway is None:
            specs = [self._fixed_spec()]
        else:
            try:
                specs, faults = self._read_specs(await gateway.functions(), gateway)
            except GatewayError as error:
                metrics.DISCOVERY_FAILURES.inc()
                text = f"the gateway does not respond: {error}"
                self._changes.log("gateway", f"{text}; bindings stay as they are")
                # with bindings it goes on delivering; without any it is not ready
                self._discovery_fault = None if self._running else text
                return
            self._changes.recovered("gateway", "the gateway responds again")
        wanted, unresolved = await self._resolve_streams(specs, faults, connections.js)
        for function in self._faults.keys() - faults.keys():
            self._changes.recovered(("bind", function))
        for function, fault in faults.items():
            text = f"cannot bind {function}: {fault}"
            self._changes.log(("bind", function), text, level=logging.ERROR)
        self._faults = faults
        self._reconcile(wanted, unresolved, connections)
        self._discovery_fault = None
        metrics.BINDINGS.set(len(self._running))
        metrics.UNBOUND.set(len(faults))

    def _fixed_spec(self) -> BindingSpec:
        settings = self._settings
        assert settings.fixed_url is not None
        return BindingSpec(
            function=settings.function_name,
            url=settings.fixed_url,
            topics=settings.topics,
            stream=settings.stream,
            options=settings.delivery_defaults(),
        )

    def _read_specs(
        self, functions: Iterable[DeployedFunction], gateway: Gateway
    ) -> tuple[list[BindingSpec], dict[str, str]]:
        """Return what functions with a topic want, and why others cannot be bound."""
        settings = self._settings
        specs: list[BindingSpec] = []
        faults: dict[str, str] = {}
        for function in functions:
            try:
                topics = read_topics(function.annotations)
                if topics is None:
                    continue
                options = read_delivery_options(function.annotations, settings.delivery_defaults())
                replicas = read_replica_limits(
                    function.labels, function.annotations, settings.replica_defaults()
                )
            except ValueError as error:
                faults[function.full_name] = str(error)
                continue
            if self._autoscaler:
                self._autoscaler.observe(
                    function.full_name, function.replicas, function.invocations
                )
            specs.append(
                BindingSpec(
                    function=function.full_name,
                    url=gateway.invocation_url(function.full_name),
                    topics=topics,
                    stream=function.annotations.get("jetstream.stream") or settings.stream,
                    options=options,
                    replicas=replicas if settings.scaling else None,
                )
            )
        return specs, faults

    async def _resolve_streams(
        self, specs: Iterable[BindingSpec], faults: dict[str, str], js: JetStreamContext
    ) -> tuple[dict[BindingKey, BindingSpec], set[str]]:
        """Return the wanted bindings, and the functions whose streams cannot be found now.

        Args:
            specs: what the functions want.
            faults: gets why the streams of a function cannot be found.
            js: the JetStream context.
        """
        wanted: dict[BindingKey, BindingSpec] = {}
        unresolved: set[str] = set()
        for spec in specs:
            by_stream: dict[str, list[str]] = {}
            try:
                for topic in spec.topics:
                    stream = spec.stream or await self._stream_of(js, topic)
                    by_stream.setdefault(stream, []).append(topic)
            except BindError as error:
                faults[spec.function] = str(error)
                unresolved.add(spec.function)
                continue
            for stream, topics in by_stream.items():
                key = BindingKey(spec.function, stream)
                wanted[key] = replace(spec, topics=tuple(topics), stream=stream)
        return wanted, unresolved

    async def _stream_of(self, js: JetStreamContext, topic: str) -> str:
        for key, running in self._running.items():
            if topic in running.spec.topics and running.binding.fault is None:
                return key.stream
        return await stream_of(js, topic)

    def _reconcile(
        self,
        wanted: dict[BindingKey, BindingSpec],
        unresolved: set[str],
        connections: Connections,
    ) -> None:
        """Stop the bindings that are not wanted any more, and start those that are missing."""
        for key, running in list(self._running.items()):
            ended = running.task.done()
            keep = key.function in unresolved or wanted.get(key) == running.spec
            if keep and not ended:
                continue
            if not ended:
                logger.info("unbinding %s from stream %s", key.function, key.stream)
            running.binding.stop()
            self._draining[key] = running.task
            del self._running[key]
            self._forget_lag(key)
        for key, task in list(self._draining.items()):
            if task.done():
                if not task.cancelled() and (error := task.exception()):
                    text = "unexpected error: the binding of %s ended"
                    logger.error(text, key.function, exc_info=error)
                del self._draining[key]
        for key, spec in wanted.items():
            # a changed binding starts when the one before it has drained
            if key not in self._running and key not in self._draining:
                self._running[key] = self._start(key, spec, connections)

    def _start(
        self, key: BindingKey, spec: BindingSpec, connections: Connections
    ) -> RunningBinding:
        settings, gateway = self._settings, connections.gateway
        target = ConsumerTarget(
            stream=key.stream,
            name=consumer_name(spec.function, settings.consumer_prefix),
            function=spec.function,
            topics=spec.topics,
            ack_wait=spec.options.ack_wait,
            max_ack_pending=spec.options.max_ack_pending,
        )
        dead_letters = DeadLetterPublisher(
            connections.nc,
            connections.js,
            source=key.stream,
            stream=settings.dlq_stream.format(stream=key.stream),
            subject=settings.dlq_subject,
        )
        invoker = Invoker(
            connections.session,
            spec.url,
            f"/jetstream/{key.stream}/{target.name}",
            batch=spec.options.batch,
            timeout=spec.options.timeout,
            signing_keys=[key.encode() for key in settings.batch_signing_key],
            exists=(lambda: gateway.exists(spec.function)) if gateway else None,
        )
        binding = Binding(
            spec,
            target,
            dead_letters,
            connections.nc,
            connections.js,
            invoker,
            settings.breaker_limits(),
        )
        task = asyncio.create_task(binding.run(settings.drain_timeout), name=str(key))
        return RunningBinding(spec, binding, task)

    async def _stop_bindings(self) -> None:
        for running in self._running.values():
            running.binding.stop()
        tasks = [*(running.task for running in self._running.values()), *self._draining.values()]
        if tasks:
            logger.info("draining %d bindings", len(tasks))
            await asyncio.wait(tasks)

    # Lag and scaling

    def _forget_lag(self, key: BindingKey) -> None:
        if self._autoscaler:
            self._autoscaler.forget(key.function, key.stream)

    async def _scale_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.scale_interval)
            for key, running in list(self._running.items()):
                await self._scale(key, running)

    async def _scale(self, key: BindingKey, running: RunningBinding) -> None:
        binding = running.binding
        if binding.fault is not None:
            self._forget_lag(key)
            return
        try:
            lag = await binding.consumer.lag()
        except (NatsError, OSError) as error:
            # a missing consumer has no lag: the binding creates it again
            logger.debug("no lag of %s: %s", key.function, error)
            return
        metrics.LAG.labels(*key).set(lag)
        if self._autoscaler and running.spec.replicas:
            await self._autoscaler.reconcile(
                key.function,
                key.stream,
                running.spec.replicas,
                lag * binding.consumer.sizer.events_per_message,
                time.monotonic(),
            )
