"""The connector: finds functions, binds them to streams, and scales them on their lag."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import aiohttp
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.broker import connect, without_login
from functions.common.log_on_change import LogOnChange
from functions.common.nats_client import NatsClient
from infra.connector import metrics
from infra.connector.bindings.binding import Binding
from infra.connector.bindings.discovery import BindingKey, SpecReader, fixed_specs, resolve_streams
from infra.connector.bindings.orphans import FunctionConsumer, Orphans
from infra.connector.bindings.spec import BindingSpec
from infra.connector.cancel import cancel_all
from infra.connector.dlq.publisher import DeadLetterPublisher, DeadLetterRoute
from infra.connector.dlq.redrive import (
    original_stream,
    redrive_stream,
    redrive_subject,
    waiting_consumers,
)
from infra.connector.errors import GatewayError, NatsClosedError
from infra.connector.http.invoker import Invoker, make_session
from infra.connector.jetstream.ack_memory import AckMemory
from infra.connector.jetstream.consumer import (
    MAX_ACK_PENDING_IN_ORDER,
    MAX_ACK_PENDING_LIMIT,
    ConsumerTarget,
    consumer_name,
)
from infra.connector.jetstream.start_position import FROM_THE_BEGINNING
from infra.connector.jetstream.streams import StreamDirectory
from infra.connector.openfaas.autoscaler import Autoscaler
from infra.connector.openfaas.gateway import Gateway
from infra.connector.openfaas.presence import Presence
from infra.connector.openfaas.scaling import Scaling
from infra.connector.settings import ConnectorSettings
from infra.connector.unknown_settings import unknown_settings

if TYPE_CHECKING:
    from infra.connector.http.tracing import Tracing

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_RETRY_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 20.0
LOOK_AGAIN = 10
"""The streams of bound topics, and orphans, are looked for in every tenth discovery."""
COUNTERS_KEPT_SECONDS = 120.0
"""How long the counters of a binding that has ended can still be scraped."""
REDRIVE_IDLE_SECONDS = 3600.0
"""How long the consumer of replayed messages stays when there are none left."""


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
        specs: reads what its functions want.
        streams: the streams of topics.
        orphans: consumers whose function is gone.
        presence: the other connectors.
    """

    nc: Client
    js: JetStreamContext
    session: aiohttp.ClientSession
    gateway: Gateway | None
    specs: SpecReader | None
    streams: StreamDirectory
    orphans: Orphans
    presence: Presence


class Connector:
    """Runs until `stop` is called."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._settings = settings
        self._stopped = asyncio.Event()
        self._running: dict[BindingKey, RunningBinding] = {}
        self._draining: list[tuple[BindingKey, RunningBinding]] = []
        self._faults: dict[str, str] = {}
        self._discovery_fault: str | None = "functions are not known yet"
        self._nc: NatsClient | None = None
        self._acknowledgements = AckMemory()
        self._identity = f"{socket.gethostname()}/{uuid4().hex[:8]}"
        self._numbers = count(1)
        self._autoscaler: Autoscaler | None = None
        self._ended: dict[BindingKey, float] = {}
        self._orphans: Orphans | None = None
        self._discoveries = 0
        self._changes = LogOnChange(logger)
        self._tracing = _make_tracing(settings.otel_exporter_otlp_endpoint)
        self._setting_faults = unknown_settings(os.environ, ConnectorSettings.model_fields)
        metrics.SETTING_FAULTS.set(len(self._setting_faults))
        metrics.BINDINGS.set_function(lambda: len(self._running))
        metrics.UNBOUND.set_function(self._faulty)

    def stop(self) -> None:
        """Let `run` drain and return."""
        self._stopped.set()

    async def run(self) -> None:
        """Find functions and deliver messages to them until stopped.

        Raises:
            NatsClosedError: the NATS connection was closed for good.
        """
        settings = self._settings
        for fault in self._setting_faults.values():
            logger.error("%s", fault)
        nc = await self._connect()
        if nc is None:
            return
        self._nc = nc
        session = make_session(settings.function_connect_timeout)
        gateway = self._make_gateway(session)
        if gateway and settings.scaling:
            self._autoscaler = Autoscaler(gateway)
        js = nc.jetstream()
        streams = StreamDirectory(
            nc, js, helpers_of=lambda s: (settings.dlq_stream.format(stream=s), redrive_stream(s))
        )
        self._orphans = Orphans(
            nc, js, prefix=settings.consumer_prefix, timeout=settings.orphan_timeout
        )
        presence = Presence(
            nc,
            settings.scale_interval,
            self._uses,
            self._others_changed,
            lambda consumers: scaling.measure(self._keys_of(consumers)),
        )
        specs = SpecReader(gateway, settings) if gateway else None
        connections = Connections(nc, js, session, gateway, specs, streams, self._orphans, presence)
        scaling = Scaling(self._running, presence, self._autoscaler)
        announcing = asyncio.create_task(presence.run())
        measuring = asyncio.create_task(scaling.run(settings.scale_interval))
        try:
            while not self._stopped.is_set() and not nc.is_closed:
                try:
                    await self._unless_stopped(self._discover(connections))
                except (NatsError, OSError) as error:
                    logger.warning("cannot bind functions: %s", error or type(error).__name__)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), settings.discovery_interval)
        finally:
            await cancel_all((measuring,))
            await self._stop_bindings()
            # the other connectors hear of what still runs until it has ended
            await cancel_all((announcing,))
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
            "orphans": self._orphans.describe() if self._orphans else [],
            "unknownSettings": self._setting_faults,
        }

    def _uses(self) -> dict[str, int]:
        """Return the consumers that are used, for the other connectors."""
        uses: dict[str, int] = {}
        for running in (*self._running.values(), *(each for _, each in self._draining)):
            consumer = running.binding.shared_consumer
            uses[consumer] = uses.get(consumer, 0) + running.binding.announce()
        return uses

    def _keys_of(self, consumers: Collection[str]) -> list[BindingKey]:
        running = self._running.items()
        return [key for key, each in running if each.binding.shared_consumer in consumers]

    def _others_changed(self) -> None:
        for running in self._running.values():
            running.binding.others_changed()

    def _faulty(self) -> int:
        """Return how many bindings have a fault, those that could not even be made included."""
        running = [
            key.function for key, each in self._running.items() if each.binding.fault is not None
        ]
        return len(running) + len(self._faults.keys() - set(running))

    async def _connect(self) -> NatsClient | None:
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
            scale_timeout=settings.scale_timeout,
            names=settings.functions,
        )

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await something, but cancel it when this is stopped; return None then."""
        working = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if working.done():
            return working.result()
        await cancel_all((working,))
        return None

    # Discovery

    async def _discover(self, connections: Connections) -> None:
        gateway = connections.gateway
        if gateway is None or connections.specs is None:
            specs, faults = fixed_specs(self._settings)
        else:
            try:
                functions = await gateway.functions()
            except GatewayError as error:
                metrics.DISCOVERY_FAILURES.inc()
                text = f"the gateway does not respond: {error}"
                self._changes.log("gateway", f"{text}; bindings stay as they are")
                # with bindings it goes on delivering; without any it is not ready
                self._discovery_fault = None if self._running else text
                return
            self._changes.recovered("gateway", "the gateway responds again")
            specs, faults = connections.specs.read(functions)
            if self._autoscaler:
                bound = {spec.function for spec in specs}
                self._autoscaler.observe(each for each in functions if each.full_name in bound)
        refresh = LOOK_AGAIN * self._settings.discovery_interval
        faulty = {
            topic
            for running in self._running.values()
            if running.binding.fault is not None
            for topic in running.spec.topics
        }
        wanted, unresolved = await resolve_streams(
            specs,
            faults,
            lambda topic, named: connections.streams.streams_of(
                topic, named, refresh=0.0 if topic in faulty else refresh
            ),
        )
        for function in self._faults.keys() - faults.keys():
            self._changes.recovered(("bind", function))
        for function, fault in faults.items():
            text = f"cannot bind {function}: {fault}"
            self._changes.log(("bind", function), text, level=logging.ERROR)
        self._faults = faults
        wanted |= await self._redrives(connections, wanted)
        self._reconcile(wanted, unresolved, connections)
        self._discovery_fault = None
        if self._discoveries % LOOK_AGAIN == 0:
            known = {spec.function for spec in specs}
            await connections.orphans.look(
                lambda consumer: self._is_wanted(consumer, known),
                {key.stream for key in self._running},
            )
        self._discoveries += 1

    def _is_wanted(self, consumer: FunctionConsumer, known: set[str]) -> bool:
        """Return whether a function's consumer is used, may be used soon, or is another's."""
        key = BindingKey(consumer.function, original_stream(consumer.stream))
        return (
            key in self._running
            or key in {each for each, _ in self._draining}
            or consumer.function in self._faults
            # with a fixed URL, other functions are those of other connectors
            or (self._settings.fixed_url is not None and consumer.function not in known)
        )

    async def _redrives(
        self, connections: Connections, wanted: dict[BindingKey, BindingSpec]
    ) -> dict[BindingKey, BindingSpec]:
        """Return the bindings to what is replayed of the dead letters of wanted ones."""
        streams = {key.stream for key in wanted}
        try:
            waiting = await waiting_consumers(connections.nc, streams)
        except (NatsError, OSError) as error:
            logger.debug("no information about replayed messages: %s", error)
            running = self._running.items()
            return {key: binding.spec for key, binding in running if binding.spec.redrive_of}
        found: dict[BindingKey, BindingSpec] = {}
        for key, spec in wanted.items():
            consumer = self._consumer_of(spec)
            if (key.stream, consumer) in waiting and not self._paused(key):
                stream = redrive_stream(key.stream)
                topics = (redrive_subject(key.stream, consumer),)
                found[BindingKey(key.function, stream)] = replace(
                    spec, stream=stream, topics=topics, redrive_of=key.stream
                )
        return found

    def _paused(self, key: BindingKey) -> bool:
        """Return whether a function gets nothing of a stream, so nothing replayed of it either."""
        running = self._running.get(key)
        return running is not None and running.binding.pause() is not None

    def _reconcile(
        self,
        wanted: dict[BindingKey, BindingSpec],
        unresolved: set[str],
        connections: Connections,
    ) -> None:
        """Stop the bindings that are not wanted any more, change others, and start new ones."""
        for key, running in list(self._running.items()):
            ended = running.task.done()
            spec = wanted.get(key)
            # a queue in order takes over when the messages in flight are settled, as for another
            reordered = spec and spec.options.order_by != running.spec.options.order_by
            if not ended and not reordered and (spec or key.function in unresolved):
                if spec and spec != running.spec:
                    logger.info("changing the binding of %s to stream %s", *key)
                    target = self._target(key, spec)
                    running.binding.change(spec, target, self._invoker(target, spec, connections))
                    running.spec = spec
                continue
            if not ended:
                logger.info("unbinding %s from stream %s", *key)
            running.binding.stop(patient=True)
            self._draining.append((key, running))
            del self._running[key]
            if self._autoscaler:
                self._autoscaler.forget(*key)
        self._end_drained(wanted)
        for key, spec in wanted.items():
            if key not in self._running:
                self._running[key] = self._start(key, spec, connections)
                self._ended.pop(key, None)
                connections.presence.hurry()

    def _end_drained(self, wanted: Collection[BindingKey]) -> None:
        """Forget the bindings that have drained, and their metrics."""
        drained = [each for each in self._draining if each[1].task.done()]
        self._draining = [each for each in self._draining if not each[1].task.done()]
        for key, running in drained:
            task = running.task
            if not task.cancelled() and (error := task.exception()):
                text = "unexpected error: the binding of %s ended"
                logger.error(text, key.function, exc_info=error)
            if key not in wanted:
                self._ended[key] = time.monotonic()
                metrics.forget_gauges(*key)
            if not any(each.function == key.function for each in wanted):
                metrics.forget_function(key.function)
        for key, at in list(self._ended.items()):
            if time.monotonic() - at > COUNTERS_KEPT_SECONDS:
                del self._ended[key]
                metrics.forget(*key)

    def _consumer_of(self, spec: BindingSpec) -> str:
        return spec.consumer or consumer_name(spec.function, self._settings.consumer_prefix)

    def _target(self, key: BindingKey, spec: BindingSpec) -> ConsumerTarget:
        source = spec.redrive_of or key.stream
        consumer = self._consumer_of(spec)
        return ConsumerTarget(
            stream=key.stream,
            name=consumer,
            function=spec.function,
            topics=spec.topics,
            ack_wait=spec.options.ack_wait,
            max_ack_pending=spec.options.max_ack_pending,
            start=FROM_THE_BEGINNING if spec.redrive_of else spec.options.start,
            made_by_others=spec.consumer is not None and not spec.redrive_of,
            redrive_prefix=redrive_subject(source, consumer, "") if spec.redrive_of else "",
            inactive_threshold=REDRIVE_IDLE_SECONDS if spec.redrive_of else None,
            ack_pending_limit=MAX_ACK_PENDING_IN_ORDER
            if spec.options.order_by
            else MAX_ACK_PENDING_LIMIT,
        )

    def _invoker(
        self, target: ConsumerTarget, spec: BindingSpec, connections: Connections
    ) -> Invoker:
        gateway = connections.gateway
        return Invoker(
            connections.session,
            spec.url,
            f"/jetstream/{spec.redrive_of or target.stream}/{target.name}",
            batch=spec.options.batch,
            timeout=spec.options.timeout,
            signing_keys=[key.encode() for key in self._settings.batch_signing_key],
            exists=(lambda: gateway.exists(spec.function)) if gateway else None,
            results=spec.options.result_topic is not None,
            tracing=self._tracing,
        )

    def _start(
        self, key: BindingKey, spec: BindingSpec, connections: Connections
    ) -> RunningBinding:
        settings = self._settings
        source = spec.redrive_of or key.stream
        target = self._target(key, spec)
        route = DeadLetterRoute(
            spec.function,
            target.name,
            source,
            settings.dlq_stream.format(stream=source),
            settings.dlq_subject,
        )
        dead_letters = DeadLetterPublisher(
            connections.nc,
            connections.js,
            route,
            settings.dlq_max_bytes,
            create=settings.dlq_create,
        )
        binding = Binding(
            spec,
            target,
            dead_letters,
            connections.nc,
            connections.js,
            self._invoker(target, spec, connections),
            settings.breaker_limits(),
            self._acknowledgements,
            connections.presence,
            f"{self._identity}/{next(self._numbers)}",
        )
        task = asyncio.create_task(binding.run(settings.drain_timeout), name=str(key))
        return RunningBinding(spec, binding, task)

    async def _stop_bindings(self) -> None:
        bindings = [*self._running.values(), *(running for _, running in self._draining)]
        for running in bindings:
            running.binding.stop()
        if bindings:
            logger.info("draining %d bindings", len(bindings))
            await asyncio.wait([running.task for running in bindings])


def _make_tracing(endpoint: str | None) -> "Tracing | None":
    if endpoint is None:
        return None
    try:
        # it takes a third of a second, and is an extra
        from infra.connector.http.tracing import Tracing  # noqa: PLC0415
    except ImportError as error:
        text = "no spans are sent: install the extra universe[otel] (%s)"
        logger.error(text, error)
        return None
    return Tracing(endpoint)
