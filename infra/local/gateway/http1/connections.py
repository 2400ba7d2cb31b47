"""How many connections clients may have at the same time.

Each costs a file descriptor and some memory, and one more of both while it is proxied. Sockets that
only lie there must not keep others out: a new connection takes the place of the oldest one on which
no request is being served.
"""

import asyncio
import logging
import resource
from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

from infra.local.gateway import refusals
from infra.local.gateway.refusals import Refusals

logger = logging.getLogger(__name__)

_OTHER_DESCRIPTORS = 256
"""For log files, pipes of replicas, NATS, and whatever else the process has open."""


class Closable(Protocol):
    """A connection, as far as it matters here."""

    @property
    def idle(self) -> bool:
        """Whether no request is being served on it."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...

    def stop(self) -> None:
        """Close it as soon as no request is being served."""
        ...


class OpenConnections:
    """The connections that are open.

    Args:
        most: how many there may be.
        refused: counts those that are one too many.
        metrics: where the gauge is registered.
    """

    def __init__(self, most: int, refused: Refusals, metrics: CollectorRegistry) -> None:
        self._most = most
        self._refused = refused
        self._open: dict[Closable, None] = {}
        self._none = asyncio.Event()
        self._none.set()
        gauge = Gauge("universe_gateway_connections", "Connections of clients.", registry=metrics)
        gauge.set_function(lambda: len(self._open))

    def __iter__(self) -> Iterator[Closable]:
        return iter(list(self._open))

    def admit(self, connection: Closable) -> bool:
        """Note that a connection was opened; return False if there is no room for it."""
        if len(self._open) >= self._most:
            oldest = next((each for each in self._open if each.idle), None)
            if oldest is None:
                self._refused.count(refusals.CONNECTIONS)
                return False
            self.remove(oldest)
            oldest.abort()
        self._open[connection] = None
        self._none.clear()
        return True

    def remove(self, connection: Closable) -> None:
        """Note that a connection was closed."""
        self._open.pop(connection, None)
        if not self._open:
            self._none.set()

    async def wait_for_none(self) -> None:
        """Wait until all are closed."""
        await self._none.wait()

    def raise_descriptor_limit(self) -> None:
        """Let the process open as many files as these connections and their upstreams need."""
        wanted = 2 * self._most + _OTHER_DESCRIPTORS
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            logger.warning("MAX_CONNECTIONS needs %d open files; %d are allowed", wanted, allowed)
