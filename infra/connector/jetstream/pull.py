"""Pulls messages of a durable consumer with one standing request."""

import json
import logging
import time
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

log = logging.getLogger(__name__)

EXPIRES = 30.0
HEARTBEAT = 5.0
MISSED_HEARTBEATS = 2.5
_ENDED = frozenset({"404", "408"})
_IN_ORDER = frozenset({"batch completed"})


class Puller:
    """Keeps a pull request at the server, which sends messages the moment they are there.

    nats-py's `fetch` ends with the first message that arrives, or waits for a full batch, and
    makes a task for each message; this one is fed by the subscription itself.
    """

    def __init__(
        self,
        nc: Client,
        stream: str,
        consumer: str,
        *,
        on_message: Callable[[Msg], None],
        on_change: Callable[[], None],
    ) -> None:
        """Make a puller.

        Args:
            nc: the connection.
            stream: the consumer's stream.
            consumer: the durable consumer's name.
            on_message: called with each message.
            on_change: called when the standing request has ended.
        """
        self._nc = nc
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._name = f"{stream}/{consumer}"
        self._on_message = on_message
        self._on_change = on_change
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._request = 0
        self._remaining = 0
        self._delivered = 0
        self._heard = 0.0
        self._reconnects = 0
        self.too_large = False
        """The next message is larger than the last request allowed."""
        self.missing = False
        """The server has no such consumer."""

    async def start(self) -> None:
        """Subscribe to what requests are answered with."""
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*",
            cb=self._receive,
            # requests bound what can arrive; dropping a message would delay it by the ack wait
            pending_msgs_limit=0,
            pending_bytes_limit=0,
        )

    @property
    def standing(self) -> bool:
        """Whether a request stands."""
        return self._remaining > 0

    def lost(self, now: float) -> bool:
        """Return whether the standing request must have got lost, and forget it if so."""
        if not self.standing:
            return False
        reconnects = self._nc.stats["reconnects"]
        silent = now - self._heard > HEARTBEAT * MISSED_HEARTBEATS
        if silent or reconnects != self._reconnects:
            self._remaining = 0
            return True
        return False

    async def request(self, messages: int, size: int | None) -> None:
        """Ask for messages, in place of any request before.

        Args:
            messages: how many at the most.
            size: bytes at the most; None for no limit.
        """
        if not self._nc.is_connected:
            return
        self._request += 1
        self._remaining = messages
        self._delivered = 0
        self._heard = time.monotonic()
        self._reconnects = self._nc.stats["reconnects"]
        self.too_large = False
        body: dict[str, int] = {
            "batch": messages,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        if size is not None:
            body["max_bytes"] = size
        try:
            await self._nc.publish(
                self._next, json.dumps(body).encode(), reply=f"{self._inbox}.{self._request}"
            )
        except Error as error:
            self._remaining = 0
            log.warning("cannot ask %s for messages: %s", self._name, error)

    async def stop(self) -> None:
        """End the standing request; what the server has sent until then is still received."""
        subscription, self._subscription = self._subscription, None
        self._remaining = 0
        if subscription is None:
            return
        try:
            if self._nc.is_connected:
                await subscription.drain()
            else:
                await subscription.unsubscribe()
        except (Error, TimeoutError) as error:
            log.debug("unsubscribing from %s: %s", self._name, error)

    async def _receive(self, msg: Msg) -> None:
        self._heard = time.monotonic()
        if msg.reply:
            self._delivered += 1
            if self._remaining > 0:
                self._remaining -= 1
            self._on_message(msg)
            if self._remaining == 0:
                self._on_change()
            return
        self._status(msg)

    def _status(self, msg: Msg) -> None:
        headers = msg.headers or {}
        status = headers.get("Status", "")
        description = headers.get("Description", "").lower()
        if status == "100" or not msg.subject.endswith(f".{self._request}"):
            return  # alive, or about a request that another one has replaced
        self._remaining = 0
        if status == "503" or "consumer deleted" in description or "consumer is" in description:
            self.missing = True
        elif status == "409" and "maxbytes" in description and self._delivered == 0:
            self.too_large = True
        elif not (status in _ENDED or description in _IN_ORDER or "maxbytes" in description):
            log.info("pull request at %s ended: %s %s", self._name, status, description)
        self._on_change()
