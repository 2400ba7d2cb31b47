"""Pull requests of a consumer, one after the other.

nats-py's `fetch` returns with the first message that arrives or waits for a full batch, and makes
a task for each message; here the subscription's callback gets them. When nats-py is updated, check
whether its `PullMessageStream` does the same: it has heartbeats and `max_bytes`, too.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from functions.common.nats_client import NatsClient, NotPermittedError, api_subject

logger = logging.getLogger(__name__)

EXPIRES_SECONDS, HEARTBEAT_SECONDS = 30.0, 5.0
IDLE_EXPIRES_SECONDS, IDLE_HEARTBEAT_SECONDS = 120.0, 10.0
"""After a request that no message has come for: hundreds of idle functions cost little so."""
NUDGE_SECONDS = 1.0
MAX_MISSED_HEARTBEATS = 2.5
_EXPIRED_STATUSES = frozenset({"404", "408"})
_EXPECTED_ENDS = frozenset({"batch completed"})


class Puller:
    """Keeps one pull request at the server, which sends messages as soon as they are stored."""

    def __init__(
        self,
        nc: Client,
        stream: str,
        consumer: str,
        *,
        on_message: Callable[[Msg], None],
        on_request_end: Callable[[], None],
    ) -> None:
        """Make a puller.

        Args:
            nc: the connection.
            stream: the consumer's stream.
            consumer: the consumer's name.
            on_message: called with each message.
            on_request_end: called when the server has ended the request.
        """
        self._nc = nc
        self._api_subject = api_subject(nc, f"CONSUMER.MSG.NEXT.{stream}.{consumer}")
        self._name = f"{stream}/{consumer}"
        self._on_message = on_message
        self._on_request_end = on_request_end
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._request = 0
        self._remaining = 0
        self._delivered = 0
        self._last_heard = 0.0
        self._reconnects = 0
        self._idle = False
        self.next_too_large = False
        """The next message is larger than the last request allowed."""
        self.consumer_missing = False
        """The server has no such consumer."""

    async def start(self) -> None:
        """Subscribe to the responses to pull requests."""
        if isinstance(self._nc, NatsClient):
            self._nc.on_reconnect.add(self._on_request_end)
        self._subscription = await self._nc.subscribe(  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
            f"{self._inbox}.*",
            cb=self._receive,
            # requests limit what can arrive; a message that the client drops is delayed by ack_wait
            pending_msgs_limit=0,
            pending_bytes_limit=0,
        )

    @property
    def idle(self) -> bool:
        """Whether no message came for the last request, and the server has another one.

        `on_request_end` is called when it has ended, or a lost connection is back.
        """
        return self._idle and self.requested and isinstance(self._nc, NatsClient)

    @property
    def requested(self) -> bool:
        """Whether the server has a pull request of this puller."""
        return self._remaining > 0

    @property
    def refused(self) -> NotPermittedError | None:
        """Why the server takes no pull requests, if the user has no right to send them."""
        nc = self._nc
        return nc.refused.get(self._api_subject) if isinstance(nc, NatsClient) else None

    def drop_lost_request(self, now: float) -> bool:
        """Forget the request if the server cannot have it any more; return whether that was so."""
        if not self.requested:
            return False
        heartbeat = IDLE_HEARTBEAT_SECONDS if self._idle else HEARTBEAT_SECONDS
        silent = now - self._last_heard > heartbeat * MAX_MISSED_HEARTBEATS
        if silent or self._nc.stats["reconnects"] != self._reconnects:
            self._remaining = 0
            self._idle = False
            return True
        return False

    async def request(self, messages: int, size: int | None) -> None:
        """Request messages; this replaces any request before.

        Args:
            messages: at most that many.
            size: at most that many bytes; None for no limit.
        """
        if not self._nc.is_connected:
            return
        self._request += 1
        self._remaining = messages
        self._delivered = 0
        self._last_heard = time.monotonic()
        self._reconnects = self._nc.stats["reconnects"]
        self.next_too_large = False
        body: dict[str, int] = {
            "batch": messages,
            "expires": int((IDLE_EXPIRES_SECONDS if self._idle else EXPIRES_SECONDS) * 1e9),
            "idle_heartbeat": int(
                (IDLE_HEARTBEAT_SECONDS if self._idle else HEARTBEAT_SECONDS) * 1e9
            ),
        }
        if size is not None:
            body["max_bytes"] = size
        try:
            await self._nc.publish(
                self._api_subject, json.dumps(body).encode(), reply=f"{self._inbox}.{self._request}"
            )
        except Error as error:
            self._remaining = 0
            logger.warning("cannot send a pull request to %s: %s", self._name, error)

    async def abandon(self) -> None:
        """End the request, and listen for responses to others."""
        await self.stop()
        self._inbox = self._nc.new_inbox()
        await self.start()

    async def nudge(self) -> None:
        """Let the server look for messages: after a pause it waits for a heartbeat, 5 s, to do so.

        Messages that were returned to it meanwhile are delivered then, by the request before.
        """
        body = {"batch": 1, "expires": int(NUDGE_SECONDS * 1e9)}
        with contextlib.suppress(Error):  # it looks later
            await self._nc.publish(
                self._api_subject, json.dumps(body).encode(), reply=f"{self._inbox}.nudge"
            )

    async def stop(self) -> None:
        """End the request; messages that the server has sent by then are still received."""
        subscription, self._subscription = self._subscription, None
        self._remaining = 0
        if isinstance(self._nc, NatsClient):
            self._nc.on_reconnect.discard(self._on_request_end)
        if subscription is None:
            return
        try:
            if self._nc.is_connected:
                await subscription.drain()
            else:
                await subscription.unsubscribe()
        except (Error, TimeoutError) as error:
            logger.debug("cannot unsubscribe from %s: %s", self._name, error)

    async def _receive(self, msg: Msg) -> None:
        self._last_heard = time.monotonic()
        if msg.reply:
            self._delivered += 1
            if self._remaining > 0:
                self._remaining -= 1
            self._idle = False
            self._on_message(msg)
            if self._remaining == 0:
                self._on_request_end()
            return
        self._receive_status(msg)

    def _receive_status(self, msg: Msg) -> None:
        headers = msg.headers or {}
        status = headers.get("Status", "")
        description = headers.get("Description", "").lower()
        if status == "100" or not msg.subject.endswith(f".{self._request}"):
            return  # a heartbeat, or about a request that was replaced
        self._remaining = 0
        self._idle = status in _EXPIRED_STATUSES and self._delivered == 0
        if status == "503" or "consumer deleted" in description or "consumer is" in description:
            self.consumer_missing = True
        elif status == "409" and "maxbytes" in description and self._delivered == 0:
            self.next_too_large = True
        elif not (
            status in _EXPIRED_STATUSES
            or description in _EXPECTED_ENDS
            or "maxbytes" in description
        ):
            logger.info("pull request to %s ended: %s %s", self._name, status, description)
        self._on_request_end()
