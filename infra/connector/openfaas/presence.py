"""Which connectors run beside this one, and which of them acts for a function.

Connectors share the durable consumers of functions, and need no leader to deliver. Only what must
not be done twice, such as requests for replicas, is left to the one that has run for longest. They
announce themselves over NATS, without anything that is stored: where they do not hear each other,
each acts, which is more requests and no harm.
"""

import json
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

logger = logging.getLogger(__name__)

SUBJECT = "universe.connectors"
_MISSED_ANNOUNCEMENTS = 3
_SETTLE_SECONDS = 1.0
"""How long the others may take to answer the first announcement."""


@dataclass(frozen=True)
class _Peer:
    age: tuple[float, str]
    consumers: frozenset[str]
    heard: float


class Presence:
    """Announces this connector, and listens to the others."""

    def __init__(self, nc: Client, interval: float) -> None:
        """Announce nothing yet.

        Args:
            nc: the connection.
            interval: seconds between announcements.
        """
        self._nc = nc
        self._interval = interval
        self._id = secrets.token_hex(8)
        self._age = (time.time(), self._id)
        self._consumers: frozenset[str] = frozenset()
        self._peers: dict[str, _Peer] = {}
        self._settled_at = time.monotonic() + min(_SETTLE_SECONDS, interval)
        self._subscription: Subscription | None = None

    async def announce(self, consumers: Iterable[str]) -> None:
        """Tell the others of the consumers that this connector uses, each as `stream/name`."""
        self._consumers = frozenset(consumers)
        try:
            if self._subscription is None:
                self._subscription = await self._nc.subscribe(SUBJECT, cb=self._hear)  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
            await self._publish()
        except (NatsError, OSError) as error:
            logger.debug("other connectors do not hear of this one: %s", error)

    async def leave(self) -> None:
        """Tell the others that this connector ends."""
        self._consumers = frozenset()
        try:
            await self._publish(leaving=True)
        except (NatsError, OSError) as error:
            logger.debug("other connectors do not hear that this one ends: %s", error)

    def acts_for(self, consumer: str) -> bool:
        """Return whether it is for this connector to act for the function of a consumer."""
        now = time.monotonic()
        if now < self._settled_at:
            return False
        forgotten = now - _MISSED_ANNOUNCEMENTS * self._interval
        return not any(
            peer.age < self._age and consumer in peer.consumers
            for peer in self._peers.values()
            if peer.heard >= forgotten
        )

    async def _publish(self, *, leaving: bool = False) -> None:
        text: dict[str, Any] = {
            "id": self._id,
            "since": self._age[0],
            "consumers": sorted(self._consumers),
            "leaving": leaving,
        }
        await self._nc.publish(SUBJECT, json.dumps(text).encode())

    async def _hear(self, msg: Msg) -> None:
        try:
            said = json.loads(msg.data)
            name, since = str(said["id"]), float(said["since"])
            consumers = frozenset(map(str, said["consumers"]))
            leaving = bool(said["leaving"])
        except (ValueError, TypeError, KeyError) as error:
            logger.debug("not an announcement of a connector: %s", error)
            return
        if name == self._id:
            return
        if leaving:
            self._peers.pop(name, None)
            return
        is_new = name not in self._peers
        self._peers[name] = _Peer((since, name), consumers, time.monotonic())
        if is_new:
            await self.announce(self._consumers)
