"""Events and rejected events to JetStream, durably."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from functions.common.broker import (
    DLQ_SUBJECT,
    EVENT_COUNT,
    EVENTS_SUBJECT,
    MSG_ID,
    connect,
    ensure_streams,
    largest_payload,
)
from functions.common.correlation import CALL_ID_HEADER
from functions.common.dead_letter import dead_letter_headers
from functions.common.events import summarize
from functions.common.jetstream_errors import JetStreamErrorCode

from . import metrics
from .check import Rejected
from .errors import Refusal
from .group_commit import GroupCommit
from .settings import IngestSettings

log = logging.getLogger(__name__)

RETRY_AFTER = 2
MOST_AT_ONCE = 256


class Publisher:
    """This process's connection to NATS, made at the first request."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._connecting = asyncio.Lock()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        self._nc: Client | None = None
        self._js: JetStreamContext | None = None
        self._rejected_bytes = 0
        self._groups = GroupCommit(
            self._publish_events,
            largest=settings.max_message_bytes,
            seconds=settings.group_seconds,
        )

    async def ready(self) -> int:
        """Connect where that has not been done; return the largest payload in bytes.

        Raises:
            Refusal: 503, the broker cannot be reached or is behind.
        """
        pending = self._groups.pending_bytes + self._rejected_bytes
        if pending > self._settings.max_pending_bytes:
            raise Refusal(503, "Too many events wait for the broker: try again.", RETRY_AFTER)
        # the client closes a connection for good when the server refuses what it is allowed no
        # more, such as expired credentials, which may have been renewed meanwhile
        if self._nc is None or self._nc.is_closed:
            await self._connect()
        assert self._nc is not None
        deadline = time.monotonic() + self._settings.reconnect_wait
        while not self._nc.is_connected:
            if time.monotonic() > deadline:
                raise _away("the connection is lost")
            await asyncio.sleep(0.02)
        return largest_payload(self._nc)

    async def publish(
        self, valid: dict[str, list[bytes]], rejected: list[Rejected], call_id: str
    ) -> None:
        """Return when the broker has acknowledged each event of a request.

        Args:
            valid: the bytes of valid events by source.
            rejected: the others, which go to the DLQ.
            call_id: the correlation id of the request.

        Raises:
            Refusal: 503, the broker did not acknowledge all of them. Some may have been: sending
                the request again does no harm.
        """
        rejected_bytes = sum(len(each.raw) for each in rejected)
        self._rejected_bytes += rejected_bytes
        by_subject = {f"{EVENTS_SUBJECT}.{source}": events for source, events in valid.items()}
        tasks = [self._publish_rejected(each, call_id) for each in rejected]
        try:
            results = await asyncio.gather(
                self._groups.commit(by_subject, call_id), *tasks, return_exceptions=True
            )
        finally:
            self._rejected_bytes -= rejected_bytes
        for result in results:
            if isinstance(result, BaseException):
                raise _refusal(result) from result

    def fault(self) -> str | None:
        """Return what is wrong with the connection, None where nothing is."""
        if self._nc is None:
            return "not connected yet"
        return None if self._nc.is_connected else "the connection is lost"

    async def _connect(self) -> None:
        async with self._connecting:
            if self._nc is not None and not self._nc.is_closed:
                return
            try:
                nc = await asyncio.wait_for(
                    connect(self._settings, "ingest"), self._settings.publish_timeout
                )
            except (nats.errors.Error, OSError, TimeoutError) as error:
                raise _away(str(error) or type(error).__name__) from error
            js = nc.jetstream(
                timeout=self._settings.publish_timeout, publish_async_max_pending=100_000
            )
            try:
                await ensure_streams(js, self._settings)
            except (nats.errors.Error, TimeoutError) as error:
                await nc.close()
                raise _away(f"the streams cannot be set up: {error}") from error
            self._nc, self._js = nc, js
            log.info(
                "connected to NATS", extra={"server": nc.connected_url and nc.connected_url.netloc}
            )

    async def _publish_events(
        self, subject: str, payload: bytes, count: int, call_ids: Sequence[str]
    ) -> None:
        headers = {
            EVENT_COUNT: str(count),
            CALL_ID_HEADER: ",".join(call_ids),
            MSG_ID: _digest(payload),
        }
        with metrics.PUBLISH_SECONDS.time():
            await self._send(subject, payload, headers)
        metrics.MESSAGES.inc()
        metrics.MESSAGE_EVENTS.observe(count)

    async def _publish_rejected(self, rejected: Rejected, call_id: str) -> None:
        reason = summarize(rejected.errors)
        headers = dead_letter_headers(
            reason=reason,
            subject=f"{EVENTS_SUBJECT}.{rejected.source}",
            event_id=rejected.event_id,
        )
        headers |= {
            CALL_ID_HEADER: call_id,
            EVENT_COUNT: "1",
            # a request that is sent again does not fill the DLQ twice
            MSG_ID: "rejected:" + _digest(rejected.raw),
        }
        assert self._nc is not None
        if len(rejected.raw) > largest_payload(self._nc):
            log.warning("a rejected event is too large for the DLQ", extra={"reason": reason})
            return
        async with self._at_once:
            await self._send(f"{DLQ_SUBJECT}.{rejected.source}", rejected.raw, headers)

    async def _send(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        assert self._js is not None
        try:
            await self._js.publish(
                subject, payload, headers=headers, timeout=self._settings.publish_timeout
            )
        except NoStreamResponseError:
            # somebody removed the stream, or the server lost its store: make it again, once
            await ensure_streams(self._js, self._settings)
            await self._js.publish(
                subject, payload, headers=headers, timeout=self._settings.publish_timeout
            )


def _digest(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def _away(why: str) -> Refusal:
    return Refusal(503, f"The message broker is away ({why}): try again.", RETRY_AFTER)


def _refusal(error: BaseException) -> BaseException:
    if isinstance(error, APIError) and error.err_code == JetStreamErrorCode.STREAM_STORE_FAILED:
        metrics.PUBLISH_FAILURES.labels("full").inc()
        return Refusal(
            503, "The stream is full: events come faster than they are stored.", RETRY_AFTER * 5
        )
    if isinstance(error, (nats.errors.Error, TimeoutError, OSError)):
        metrics.PUBLISH_FAILURES.labels("unacknowledged").inc()
        return _away(f"no acknowledgement: {str(error) or type(error).__name__}")
    return error
