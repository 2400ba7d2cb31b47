"""Which connectors run beside this one, and which of them acts for a function.

Connectors share the durable consumers of functions, and need no leader to deliver. Only what must
not be done twice, such as requests for replicas, is left to the one that has run for longest, and
limits that hold for all of them are divided. They announce themselves over NATS, without anything
that is stored: where they do not hear each other, each acts, and takes the whole of a limit.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from infra.connector.delivery.shared_limits import Place

logger = logging.getLogger(__name__)

SUBJECT = "universe.connectors"
_MISSED_ANNOUNCEMENTS = 3
_SETTLE_SECONDS = 1.0
"""How long the others may take to answer the first announcement."""


@dataclass
class _Peer:
    """Another connector.

    Attributes:
        age: when it started, and its name.
        consumers: what it uses.
        missed: how often this connector has announced itself since that one was heard.
    """

    age: tuple[float, str]
    consumers: Mapping[str, int]
    missed: int = 0


class Presence:
    """Announces this connector, and listens to the others."""

    def __init__(
        self,
        nc: Client,
        interval: float,
        uses: Callable[[], Mapping[str, int]],
        on_change: Callable[[], None],
        on_look: Callable[[Collection[str]], None],
    ) -> None:
        """Announce nothing yet.

        Args:
            nc: the connection.
            interval: seconds between announcements.
            uses: returns the consumers that this connector uses, each as `stream/name`, with how
                many calls may be running here of a function whose calls are limited.
            on_change: called when the others have changed, or a place has become known.
            on_look: called with consumers that somebody has paused or resumed.
        """
        self._nc = nc
        self._interval = interval
        self._id = secrets.token_hex(8)
        self._age = (time.time(), self._id)
        self._uses = uses
        self._on_change = on_change
        self._on_look = on_look
        self._since: dict[str, float] = {}
        self._settled: set[str] = set()
        self._peers: dict[str, _Peer] = {}
        self._counted = time.monotonic()
        self._subscription: Subscription | None = None
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Announce at intervals, and at once when `hurry` is called, until cancelled."""
        try:
            while True:
                self._hurry.clear()
                await self._announce()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), self._interval)
        finally:
            await self._leave()

    def hurry(self) -> None:
        """Announce now, since something has changed."""
        self._hurry.set()

    async def _announce(self) -> None:
        try:
            if self._subscription is None:
                self._subscription = await self._nc.subscribe(SUBJECT, cb=self._hear)  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
            uses = self._uses()
            now = time.monotonic()
            if uses.keys() - self._since.keys():
                later = min(_SETTLE_SECONDS, self._interval)
                asyncio.get_running_loop().call_later(later, self._settle, now)
            self._since = {consumer: self._since.get(consumer, now) for consumer in uses}
            self._settled &= uses.keys()
            await self._publish(uses)
        except (NatsError, OSError) as error:
            logger.debug("other connectors do not hear of this one: %s", error)

    def _settle(self, announced: float) -> None:
        """Know the places for what was announced by then, and tell of them."""
        self._settled |= {consumer for consumer, at in self._since.items() if at <= announced}
        self._on_change()

    async def _leave(self) -> None:
        try:
            await self._publish({}, leaving=True)
        except (NatsError, OSError) as error:
            logger.debug("other connectors do not hear that this one ends: %s", error)

    def acts_for(self, consumer: str) -> bool:
        """Return whether it is for this connector to act for the function of a consumer."""
        place = self.place(consumer)
        return place is not None and place.index == 0

    def place(self, consumer: str) -> Place | None:
        """Return the place of this connector among those that use a consumer.

        None while the others may not have answered what was announced.
        """
        if consumer not in self._settled:
            return None
        peers = [peer for peer in self._peers.values() if consumer in peer.consumers]
        return Place(
            index=sum(peer.age < self._age for peer in peers),
            number=len(peers) + 1,
            used_by_others=sum(peer.consumers[consumer] for peer in peers),
        )

    def _count_silence(self) -> None:
        """Forget those that were not heard while this connector heard itself several times.

        By its own clock it would forget the others after it was stopped for a while, with their
        announcements still unread, and take the whole of a limit.
        """
        now = time.monotonic()
        if now < self._counted + 0.9 * self._interval:  # one more, for something had changed
            return
        self._counted = now
        for peer in self._peers.values():
            peer.missed += 1
        gone = [name for name, peer in self._peers.items() if peer.missed > _MISSED_ANNOUNCEMENTS]
        for name in gone:
            del self._peers[name]
        if gone:
            self._on_change()

    async def _publish(self, uses: Mapping[str, int], *, leaving: bool = False) -> None:
        text: dict[str, Any] = {
            "id": self._id,
            "since": self._age[0],
            "consumers": dict(uses),
            "leaving": leaving,
        }
        await self._nc.publish(SUBJECT, json.dumps(text).encode())

    async def _hear(self, msg: Msg) -> None:
        try:
            said = json.loads(msg.data)
            if "look" in said:
                self._on_look(set(map(str, said["look"])))
                return
            name, since = str(said["id"]), float(said["since"])
            consumers = _read_uses(said["consumers"])
            leaving = bool(said["leaving"])
        except (ValueError, TypeError, KeyError) as error:
            logger.debug("not an announcement of a connector: %s", error)
            return
        if name == self._id:
            self._count_silence()
            return
        before = self._peers.pop(name, None)
        if not leaving:
            self._peers[name] = _Peer((since, name), consumers)
        if before is None:
            self.hurry()
        if before is None or leaving or before.consumers != consumers:
            self._on_change()


async def ask_to_look(nc: Client, consumers: Collection[str]) -> None:
    """Let connectors look now at consumers, each as `stream/name`, which they do anyway later.

    Raises:
        nats.errors.Error: NATS cannot be reached.
    """
    await nc.publish(SUBJECT, json.dumps({"look": sorted(consumers)}).encode())
    await nc.flush()


def _read_uses(said: Any) -> dict[str, int]:
    if isinstance(said, list):  # from a connector of before limits were shared
        return dict.fromkeys(map(str, cast("list[Any]", said)), 0)
    return {str(consumer): int(calls) for consumer, calls in dict(said).items()}
