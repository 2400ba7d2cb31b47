"""Publishes events, and rejected events to the DLQ, and waits until JetStream has them."""

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
    EVENT_COUNT,
    EVENTS_DLQ_SUBJECT,
    EVENTS_SUBJECT,
    MSG_ID,
    connect,
    ensure_streams,
    largest_payload,
    without_login,
)
from functions.common.correlation import CALL_ID_HEADER
from functions.common.dead_letter import dead_letter_headers
from functions.common.errors import RequestRefusedError
from functions.common.jetstream_errors import JetStreamErrorCode

from . import metrics
from .group_commit import Done, GroupCommit
from .settings import IngestSettings
from .validation import RejectedEvent

logger = logging.getLogger(__name__)

RETRY_AFTER = 2
"""Seconds after which a caller should try again while the broker is unavailable."""
RETRY_AFTER_FULL = 10
"""The same while the stream is full, which takes longer to change."""
MAX_DLQ_PUBLISHES = 128
"""Rejected events that wait for their acknowledgement at the same time."""


class Publisher:
    """This process's connection to NATS, made at the first request."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._connecting = asyncio.Lock()
        self._dlq_slots = asyncio.Semaphore(MAX_DLQ_PUBLISHES)
        self._nc: Client | None = None
        self._js: JetStreamContext | None = None
        self._rejected_bytes = 0
        self._groups = GroupCommit(
            self._publish_events,
            max_bytes=settings.max_message_bytes,
            linger=settings.linger_ms / 1000,
        )

    async def ready(self) -> int:
        """Connect unless connected; return the largest payload of a message in bytes.

        Raises:
            RequestRefusedError: 503, the broker cannot be reached, or too many bytes wait for its
                acknowledgement.
        """
        pending = self._groups.pending_bytes + self._rejected_bytes
        if pending > self._settings.max_pending_bytes:
            raise RequestRefusedError(
                503, "Too many events wait for the broker: try again.", retry_after=RETRY_AFTER
            )
        # the client closes a connection for good when the server revokes its credentials, which
        # may have been renewed meanwhile
        if self._nc is None or self._nc.is_closed:
            await self._connect()
        assert self._nc is not None
        deadline = time.monotonic() + self._settings.reconnect_wait
        while not self._nc.is_connected:
            if time.monotonic() > deadline:
                raise _unavailable("the connection is lost")
            await asyncio.sleep(0.02)
        return largest_payload(self._nc)

    def room(self) -> int | None:
        """Return what `ready` does, where it has nothing to wait for or to refuse; else None."""
        nc = self._nc
        pending = self._groups.pending_bytes + self._rejected_bytes
        if nc is None or not nc.is_connected or pending > self._settings.max_pending_bytes:
            return None
        return largest_payload(nc)

    def publish_soon(self, source: str, event: bytes, call_id: str, done: Done) -> None:
        """Publish one valid event, where there is `room`.

        Args:
            source: of the event.
            event: its bytes.
            call_id: the correlation id of its request.
            done: is called when the broker has acknowledged it, or with the refusal (503) or error.
        """

        def translated(error: Exception | None) -> None:
            done(error and _translate(error))

        self._groups.add(f"{EVENTS_SUBJECT}.{source}", event, call_id, translated)

    async def publish(
        self, valid: dict[str, list[bytes]], rejected: list[RejectedEvent], call_id: str
    ) -> None:
        """Return when the broker has acknowledged each event of a request.

        Args:
            valid: the bytes of valid events by source.
            rejected: the others, which are published to the DLQ.
            call_id: the correlation id of the request.

        Raises:
            RequestRefusedError: 503, the broker did not acknowledge all of them. Some may be
                stored: it is safe to send the request again, events are deduplicated.
        """
        by_subject = {f"{EVENTS_SUBJECT}.{source}": events for source, events in valid.items()}
        try:
            if rejected:
                await self._publish_both(by_subject, rejected, call_id)
            else:
                await self._groups.commit(by_subject, call_id)
        except Exception as error:
            raise _translate(error) from error

    async def _publish_both(
        self, by_subject: dict[str, list[bytes]], rejected: list[RejectedEvent], call_id: str
    ) -> None:
        rejected_bytes = sum(len(each.raw or b"") for each in rejected)
        self._rejected_bytes += rejected_bytes
        try:
            results = await asyncio.gather(
                self._groups.commit(by_subject, call_id),
                self._publish_all_rejected(rejected, call_id),
                return_exceptions=True,
            )
        finally:
            self._rejected_bytes -= rejected_bytes
        _raise_first([*results])

    async def _connect(self) -> None:
        async with self._connecting:
            if self._nc is not None and not self._nc.is_closed:
                return
            try:
                nc = await asyncio.wait_for(
                    connect(self._settings, "ingest"), self._settings.publish_timeout
                )
            except (nats.errors.Error, OSError, TimeoutError) as error:
                raise _unavailable(str(error) or type(error).__name__) from error
            js = nc.jetstream(
                timeout=self._settings.publish_timeout, publish_async_max_pending=100_000
            )
            try:
                await ensure_streams(js, self._settings)
            except (nats.errors.Error, TimeoutError) as error:
                await nc.close()
                raise _unavailable(f"the streams cannot be set up: {error}") from error
            self._nc, self._js = nc, js
            server = without_login(nc.connected_url.netloc) if nc.connected_url else None
            logger.info("connected to NATS", extra={"server": server})

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

    async def _publish_all_rejected(self, rejected: list[RejectedEvent], call_id: str) -> None:
        # not all at once: ten thousand tasks would hold up the event loop for half a second
        for at in range(0, len(rejected), MAX_DLQ_PUBLISHES):
            some = rejected[at : at + MAX_DLQ_PUBLISHES]
            results = await asyncio.gather(
                *(
                    self._publish_rejected(each, each.raw, call_id)
                    for each in some
                    if each.raw is not None
                ),
                return_exceptions=True,
            )
            _raise_first(results)

    async def _publish_rejected(self, rejected: RejectedEvent, raw: bytes, call_id: str) -> None:
        headers = dead_letter_headers(
            reason=rejected.reason,
            subject=f"{EVENTS_SUBJECT}.{rejected.source}",
            event_id=rejected.event_id,
        )
        headers |= {
            CALL_ID_HEADER: call_id,
            EVENT_COUNT: "1",
            # deduplicates the rejected events of a request that is sent again
            MSG_ID: "rejected:" + _digest(raw),
        }
        async with self._dlq_slots:
            await self._send(f"{EVENTS_DLQ_SUBJECT}.{rejected.source}", raw, headers)

    async def _send(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        assert self._js is not None
        try:
            await self._js.publish(
                subject, payload, headers=headers, timeout=self._settings.publish_timeout
            )
        except NoStreamResponseError:
            # the stream was removed, or the server lost its store: create it again, once
            await ensure_streams(self._js, self._settings)
            await self._js.publish(
                subject, payload, headers=headers, timeout=self._settings.publish_timeout
            )


def _digest(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def _raise_first(results: list[BaseException | None]) -> None:
    """Raise the first error among results, which are forgotten.

    The error's traceback leads to the frames that hold them, and these to the events: only the
    garbage collector would find them.
    """
    failed = next((each for each in results if each is not None), None)
    results.clear()
    if failed:
        try:
            raise failed
        finally:
            del failed


def _unavailable(why: str) -> RequestRefusedError:
    return RequestRefusedError(
        503, f"The message broker is unavailable ({why}): try again.", retry_after=RETRY_AFTER
    )


def _translate(error: Exception) -> Exception:
    if isinstance(error, APIError) and error.err_code == JetStreamErrorCode.STREAM_STORE_FAILED:
        metrics.PUBLISH_FAILURES.labels("full").inc()
        return RequestRefusedError(
            503,
            "The stream is full: events arrive faster than they are processed.",
            retry_after=RETRY_AFTER_FULL,
        )
    if isinstance(error, (nats.errors.Error, TimeoutError, OSError)):
        metrics.PUBLISH_FAILURES.labels("unacknowledged").inc()
        return _unavailable(f"no acknowledgement: {str(error) or type(error).__name__}")
    return error
