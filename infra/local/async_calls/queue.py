"""The queue of asynchronous calls: stores calls in JetStream, and runs a worker per function."""

import asyncio
import contextlib
import logging

import aiohttp
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from prometheus_client import CollectorRegistry

from functions.common.broker import (
    EVENTS,
    EVENTS_DLQ,
    BrokerSettings,
    connect,
    ensure_stream,
    largest_payload,
)
from functions.common.correlation import CALL_ID_HEADER
from functions.common.log_on_change import LogOnChange
from functions.common.nats_client import NatsClient
from infra.connector.cancel import cancel_all
from infra.local.async_calls.call import AsyncCall
from infra.local.async_calls.callback_rule import CallbackRule
from infra.local.async_calls.callbacks import Callbacks
from infra.local.async_calls.caller import make_session
from infra.local.async_calls.worker import (
    ASYNC_CALLS,
    ASYNC_CALLS_SUBJECT,
    AsyncCallMetrics,
    AsyncCallWorker,
)
from infra.local.errors import CallTooLargeError, QueueUnavailableError
from infra.local.functions.registry import Registry

logger = logging.getLogger(__name__)

MAX_STREAM_BYTES = 1024**3
CONNECT_RETRY_SECONDS = 1.0
FLUSH_TIMEOUT = 2


class AsyncCallQueue:
    """Stores calls, and makes the stored ones."""

    def __init__(
        self,
        registry: Registry,
        broker: BrokerSettings,
        callback_rule: CallbackRule,
        metrics: CollectorRegistry,
    ) -> None:
        self._registry = registry
        self._callback_rule = callback_rule
        self._broker = broker
        self._metrics = AsyncCallMetrics(metrics)
        self._gateway_url = ""
        self._nc: NatsClient | None = None
        self._session: aiohttp.ClientSession | None = None
        self._callbacks: Callbacks | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._workers: dict[str, AsyncCallWorker] = {}

    def start(self, gateway_url: str) -> None:
        """Connect in the background; until then calls are refused with QueueUnavailableError.

        Args:
            gateway_url: where the calls are made.
        """
        self._gateway_url = gateway_url
        self._session = make_session()
        self._callbacks = Callbacks(self._callback_rule)
        self._connecting = asyncio.create_task(self._connect())

    async def stop(self) -> None:
        """Refuse calls, finish those in flight or return them to the stream, and disconnect."""
        if self._connecting is not None:
            await cancel_all((self._connecting,))
        nc, self._nc = self._nc, None
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
        if self._session is not None:
            await self._session.close()
        if self._callbacks is not None:
            await self._callbacks.close()
        if nc is not None:
            with contextlib.suppress(NatsError, TimeoutError):
                await nc.flush(timeout=FLUSH_TIMEOUT)
            await nc.close()

    async def stream_sizes(self) -> dict[str, int]:
        """Return the number of messages in each of the platform's streams, as far as known."""
        sizes: dict[str, int] = {}
        if self._nc is not None:
            js = self._nc.jetstream()
            for stream in (EVENTS, EVENTS_DLQ, ASYNC_CALLS):
                with contextlib.suppress(NatsError, TimeoutError):
                    sizes[stream] = (await js.stream_info(stream)).state.messages
        return sizes

    async def put(self, call: AsyncCall) -> None:
        """Store a call durably.

        Raises:
            CallTooLargeError: the request is larger than a message may be.
            QueueUnavailableError: the broker is away, or its stream is full.
        """
        nc = self._nc
        if nc is None:
            raise QueueUnavailableError("not connected to NATS")
        payload, max_bytes = call.encode(), largest_payload(nc)
        if len(payload) > max_bytes:
            raise CallTooLargeError(f"the request has more than {max_bytes} bytes")
        headers = {CALL_ID_HEADER: call.call_id}
        try:
            js = nc.jetstream()
            await js.publish(f"{ASYNC_CALLS_SUBJECT}.{call.function}", payload, headers=headers)
        except (NatsError, TimeoutError) as error:
            raise QueueUnavailableError(str(error) or type(error).__name__) from error
        self._metrics.queued.labels(call.function).inc()
        self._ensure_worker(nc, call.function)

    async def _connect(self) -> None:
        on_change = LogOnChange(logger)
        while self._nc is None:
            nc: NatsClient | None = None
            try:
                nc = await connect(self._broker, "universe-async")
                js = nc.jetstream()
                await ensure_stream(js, _stream_config(self._broker))
                info = await js.stream_info(ASYNC_CALLS, subjects_filter=f"{ASYNC_CALLS_SUBJECT}.>")
            except (NatsError, OSError, TimeoutError) as error:
                on_change.log("connect", f"asynchronous calls are not available: {error}")
                if nc is not None:
                    await nc.close()
                await asyncio.sleep(CONNECT_RETRY_SECONDS)
                continue
            self._nc = nc
            on_change.recovered("connect", "asynchronous calls are available")
            for subject in info.state.subjects or {}:
                self._ensure_worker(nc, subject.removeprefix(f"{ASYNC_CALLS_SUBJECT}."))

    def _ensure_worker(self, nc: NatsClient, function: str) -> None:
        if function not in self._workers:
            session, callbacks = self._session, self._callbacks
            assert session is not None, "not started"
            assert callbacks is not None, "not started"
            self._workers[function] = AsyncCallWorker(
                function, self._registry, self._metrics, nc, session, callbacks, self._gateway_url
            )


def _stream_config(broker: BrokerSettings) -> StreamConfig:
    return StreamConfig(
        name=ASYNC_CALLS,
        subjects=[f"{ASYNC_CALLS_SUBJECT}.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=MAX_STREAM_BYTES,
        num_replicas=broker.stream_replicas,
    )
