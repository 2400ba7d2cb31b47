"""Asynchronous invocations: requests that wait in a JetStream stream until a function took them.

A request is one message: a line of JSON that describes it, then the body's bytes. Each function has
a consumer of its own, so a slow or broken one holds up no other. A call is made through the gateway
itself, which starts replicas and counts it. It is acknowledged when it is over and its callback has
been made; what was in hand when the platform was killed is made again: at least once.
"""

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError
from prometheus_client import CollectorRegistry, Counter

from functions.common.broker import (
    EVENTS,
    EVENTS_DLQ,
    BrokerSettings,
    connect,
    ensure_stream,
    largest_payload,
)
from functions.common.durations import parse_duration
from infra.local.errors import UpstreamError
from infra.local.functions.registry import Registry
from infra.local.gateway.upstream import Upstream
from infra.local.servers.ports import LOOPBACK

logger = logging.getLogger(__name__)

STREAM = "ASYNC_CALLS"
_SUBJECT = "async.calls"
_ACK_WAIT = 30.0
_FETCH_SECONDS = 20.0
_CALLBACK_ATTEMPTS = 6
_ATTEMPTS_AFTER_BUGS = 3
_STOP_SECONDS = 5.0
_RETRY_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})
_NOT_IN_CALLBACK = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class QueueUnavailableError(Exception):
    """The call could not be stored durably."""


class CallTooLargeError(Exception):
    """The call does not fit a message."""


@dataclass(frozen=True)
class AsyncCall:
    """A request to be made later."""

    function: str
    method: str
    target: str
    """Path and query below the function, as they came."""
    call_id: str
    headers: list[tuple[str, str]]
    """Header fields; bytes as Latin-1."""
    body: bytes
    callback_url: str = ""

    def encode(self) -> bytes:
        """Return the message's payload."""
        head = {
            "function": self.function,
            "method": self.method,
            "target": self.target,
            "callId": self.call_id,
            "headers": self.headers,
            "callbackUrl": self.callback_url,
        }
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, payload: bytes) -> "AsyncCall":
        """Read a message's payload. Raises ValueError, KeyError."""
        line, _, body = payload.partition(b"\n")
        head = json.loads(line)
        return cls(
            function=head["function"],
            method=head["method"],
            target=head["target"],
            call_id=head["callId"],
            headers=[(name, value) for name, value in head["headers"]],
            body=body,
            callback_url=head["callbackUrl"],
        )


@dataclass(frozen=True)
class RetryRule:
    """How often a call is tried, read from the annotations that OpenFaaS Pro knows."""

    attempts: int = 10
    min_wait: float = 1.0
    max_wait: float = 120.0
    codes: frozenset[int] = _RETRY_CODES

    @classmethod
    def read(cls, annotations: Mapping[str, str]) -> "RetryRule":
        """Read `com.openfaas.retry.{attempts,min_wait,max_wait,codes}`; nonsense is left out."""
        prefix = "com.openfaas.retry."
        values: dict[str, object] = {}
        with contextlib.suppress(KeyError, ValueError):
            values["attempts"] = max(1, int(annotations[prefix + "attempts"]))
        for name in ("min_wait", "max_wait"):
            with contextlib.suppress(KeyError, ValueError):
                values[name] = parse_duration(annotations[prefix + name])
        with contextlib.suppress(KeyError, ValueError):
            codes = annotations[prefix + "codes"].split(",")
            values["codes"] = frozenset(int(code) for code in codes)
        return cls(**values)  # type: ignore[arg-type]

    def wait(self, attempt: int) -> float:
        """Return the seconds between the given attempt, counted from 1, and the next."""
        wait = min(self.max_wait, self.min_wait * 2 ** min(attempt - 1, 20))
        return wait * random.uniform(1, 1.2)  # noqa: S311


@dataclass
class _Result:
    status: int
    reason: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


class AsyncCalls:
    """Stores calls, and makes the stored ones."""

    def __init__(
        self,
        registry: Registry,
        broker: BrokerSettings,
        metrics: CollectorRegistry,
    ) -> None:
        self._registry = registry
        self._broker = broker
        self._upstream: Upstream | None = None
        self._concurrency = registry.settings.async_concurrency
        self._nc: Client | None = None
        self._js: JetStreamContext | None = None
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._in_hand: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._queued = Counter(
            "universe_async_calls_queued", "Calls stored.", ["function_name"], registry=metrics
        )
        self._done = Counter(
            "universe_async_calls_completed",
            "Calls that are over, by the last status.",
            ["function_name", "code"],
            registry=metrics,
        )
        self._retried = Counter(
            "universe_async_calls_retried", "Attempts that failed.", ["function_name"],
            registry=metrics,
        )  # fmt: skip
        self._callbacks = Counter(
            "universe_async_callbacks", "Callbacks by outcome.", ["outcome"], registry=metrics
        )

    async def start(self, host: str, port: int) -> None:
        """Connect in the background; until then calls are refused with QueueUnavailableError.

        Args:
            host: of the gateway.
            port: of the gateway.
        """
        self._upstream = Upstream(LOOPBACK if host in {"0.0.0.0", "::", ""} else host, port)  # noqa: S104
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        while True:
            try:
                self._nc = await connect(self._broker, "universe-async")
                js = self._nc.jetstream()
                await ensure_stream(js, _stream(self._broker))
                info = await js.stream_info(STREAM, subjects_filter=f"{_SUBJECT}.>")
                self._js = js
                for subject in info.state.subjects or {}:
                    self._work_for(subject.removeprefix(f"{_SUBJECT}."))
                return
            except (NatsError, OSError, TimeoutError) as error:
                logger.warning("asynchronous calls are not available yet: %s", error)
                if self._nc is not None:
                    await self._nc.close()
                await asyncio.sleep(1)

    async def stop(self) -> None:
        """Take no more calls, finish those in hand or give them back to the stream."""
        tasks = [*self._workers.values()]
        if self._connecting is not None:
            tasks.append(self._connecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=_STOP_SECONDS)
        for task in self._in_hand:
            task.cancel()
        await asyncio.gather(*self._in_hand, return_exceptions=True)
        if self._upstream is not None:
            self._upstream.close()
        if self._client is not None:
            await self._client.close()
        if self._nc is not None:
            with contextlib.suppress(NatsError, TimeoutError):
                await self._nc.flush(timeout=2)
            await self._nc.close()

    async def stream_sizes(self) -> dict[str, int]:
        """Return the number of messages in the platform's streams, as far as they are known."""
        sizes: dict[str, int] = {}
        if self._js is not None:
            for stream in (EVENTS, EVENTS_DLQ, STREAM):
                with contextlib.suppress(NatsError, TimeoutError):
                    sizes[stream] = (await self._js.stream_info(stream)).state.messages
        return sizes

    async def put(self, call: AsyncCall) -> None:
        """Store a call durably.

        Raises:
            CallTooLargeError: the request is larger than a message may be.
            QueueUnavailableError: the broker is away, or its stream is full.
        """
        if self._js is None or self._nc is None:
            raise QueueUnavailableError("not connected to NATS")
        payload = call.encode()
        if len(payload) > largest_payload(self._nc):
            raise CallTooLargeError(f"the request has more than {largest_payload(self._nc)} bytes")
        headers = {"X-Call-Id": call.call_id}
        try:
            await self._js.publish(f"{_SUBJECT}.{call.function}", payload, headers=headers)
        except (NatsError, TimeoutError) as error:
            raise QueueUnavailableError(str(error) or type(error).__name__) from error
        self._queued.labels(call.function).inc()
        self._work_for(call.function)

    def _work_for(self, function: str) -> None:
        worker = self._workers.get(function)
        if worker is None or worker.done():
            task = asyncio.create_task(self._work(function), name=f"async {function}")
            self._workers[function] = task

    async def _work(self, function: str) -> None:
        """Take the function's calls from the stream, a few at a time."""
        slots = asyncio.Semaphore(self._concurrency)
        subscription = None
        while True:
            try:
                if subscription is None:
                    subscription = await self._subscribe(function)
                await slots.acquire()
                try:
                    messages = await subscription.fetch(1, timeout=_FETCH_SECONDS)
                except BaseException:
                    slots.release()
                    raise
                task = asyncio.create_task(self._handle(function, messages[0]))
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)
                task.add_done_callback(lambda _: slots.release())
            except TimeoutError:
                continue
            except (NatsError, OSError) as error:
                logger.warning("asynchronous calls of %s: %s", function, error)
                subscription = None
                await asyncio.sleep(1)

    async def _subscribe(self, function: str) -> JetStreamContext.PullSubscription:
        assert self._js is not None
        name = f"async-{function}"
        config = ConsumerConfig(
            durable_name=name,
            filter_subject=f"{_SUBJECT}.{function}",
            ack_wait=_ACK_WAIT,
            max_ack_pending=10_000,
        )
        await self._js.add_consumer(STREAM, config)
        return await self._js.pull_subscribe_bind(consumer=name, stream=STREAM)

    async def _handle(self, function: str, message: Msg) -> None:
        """Make one call; acknowledge it, or give it back for another attempt."""
        beat = asyncio.create_task(_keep_alive(message))
        try:
            await self._attempt(function, message)
        except asyncio.CancelledError:
            with contextlib.suppress(NatsError, TimeoutError):
                await asyncio.shield(message.nak())
            raise
        except (NatsError, TimeoutError) as error:  # unacknowledged: it comes again
            logger.warning("asynchronous call of %s: %s", function, error)
        except Exception:
            logger.exception("a bug: asynchronous call of %s", function)
            await self._give_up_or_again(message)
        finally:
            beat.cancel()

    async def _give_up_or_again(self, message: Msg) -> None:
        """Try a call again that could not even be made, but not without end."""
        attempt = message.metadata.num_delivered or 1
        with contextlib.suppress(NatsError, TimeoutError):
            if attempt < _ATTEMPTS_AFTER_BUGS:
                await message.nak(delay=min(2.0**attempt, 60.0))
            else:
                await message.term()

    async def _attempt(self, function: str, message: Msg) -> None:
        try:
            call = AsyncCall.decode(message.data)
        except (ValueError, KeyError) as error:
            logger.error("a stored call of %s cannot be read: %s", function, error)
            await message.term()
            return
        found = self._registry.find(function)
        rule = RetryRule.read(found.version.deployment.annotations if found else {})
        attempt = message.metadata.num_delivered or 1
        started = time.time()
        result = await self._invoke(call) if found else _Result(404, "Not Found")
        # a function that is not there may be about to be deployed: the platform has just started
        again = result.status in rule.codes or not found
        if again and attempt < rule.attempts:
            self._retried.labels(function).inc()
            await message.nak(delay=rule.wait(attempt))
            return
        self._done.labels(function, str(result.status)).inc()
        log = logger.error if again else logger.info
        log(
            "asynchronous call of %s: status %d after %d attempts",
            function, result.status, attempt, extra={"callId": call.call_id},
        )  # fmt: skip
        if call.callback_url:
            await self._call_back(call, result, started)
        await message.ack()

    async def _invoke(self, call: AsyncCall) -> _Result:
        head = f"{call.method} /function/{call.function}{call.target} HTTP/1.1\r\nHost: gateway\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in call.headers)
        head += f"X-Call-Id: {call.call_id}\r\nContent-Length: {len(call.body)}\r\n\r\n"
        assert self._upstream is not None
        try:
            connection = self._upstream.idle_connection() or await self._upstream.connect()
            try:
                connection.begin(call.method)
                connection.write(head.encode("latin-1") + call.body)
                await connection.head
                parts = []
                while part := await connection.read():
                    parts.append(part)
                fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in connection.headers]
                reason = connection.reason.decode("latin-1")
                return _Result(connection.status, reason, fields, b"".join(parts))
            finally:
                self._upstream.release(connection)
        except UpstreamError as error:
            return _Result(502, str(error))

    async def _call_back(self, call: AsyncCall, result: _Result, started: float) -> None:
        """Post the result; try a few times, then give it up."""
        assert self._client is not None
        headers = {
            name: value for name, value in result.headers if name.lower() not in _NOT_IN_CALLBACK
        } | {
            "X-Call-Id": call.call_id,
            "X-Function-Name": call.function,
            "X-Function-Status": str(result.status),
            "X-Start-Time": str(int(started * 1e9)),
            "X-Duration-Seconds": f"{time.time() - started:f}",
        }
        problem = ""
        for attempt in range(1, _CALLBACK_ATTEMPTS + 1):
            try:
                async with self._client.post(
                    call.callback_url, data=result.body, headers=headers
                ) as answer:
                    if answer.status < 500 and answer.status not in _RETRY_CODES:
                        self._callbacks.labels("delivered").inc()
                        return
                    problem = f"status {answer.status}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                problem = str(error) or type(error).__name__
            if attempt < _CALLBACK_ATTEMPTS:
                await asyncio.sleep(0.5 * 2 ** (attempt - 1))
        self._callbacks.labels("lost").inc()
        logger.error(
            "callback of %s to %s failed: %s",
            call.function, call.callback_url, problem, extra={"callId": call.call_id},
        )  # fmt: skip


def _stream(broker: BrokerSettings) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        subjects=[f"{_SUBJECT}.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=1024**3,
        num_replicas=broker.stream_replicas,
    )


async def _keep_alive(message: Msg) -> None:
    """Tell the broker that the call is being made, as long as it is."""
    while True:
        await asyncio.sleep(_ACK_WAIT / 3)
        with contextlib.suppress(NatsError, TimeoutError, APIError):
            await message.in_progress()
