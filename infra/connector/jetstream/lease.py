"""Which connector delivers the messages of a consumer, where only one may.

An entry of a bucket of NATS names the owner, who renews it. Each write names the revision it
replaces: of several that want to own a consumer, one gets it, and an owner whose entry was replaced
cannot renew it. Nobody compares clocks: an owner counts from when it sent what was stored, the
others from when they saw it first, and for longer.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError

from functions.common.jetstream_errors import JetStreamErrorCode
from functions.common.log_on_change import LogOnChange
from infra.connector.jetstream.bucket import Bucket

logger = logging.getLogger(__name__)

BUCKET = "connector-owners"
MAX_SECONDS = 10.0
OWNED = 0.7
"""For how much of its lease an owner starts invocations."""
RENEWED = 0.25
"""After how much of its lease it renews it."""
TIMEOUT_SECONDS = 2.0
_REPLACED = frozenset(
    {
        JetStreamErrorCode.STREAM_WRONG_LAST_SEQUENCE,
        JetStreamErrorCode.STREAM_WRONG_LAST_SEQUENCE_CONSTANT,
    }
)


@dataclass(frozen=True)
class _Entry:
    """What is known of the owner.

    Attributes:
        revision: of the entry; 0: there is none.
        owner: who owns the consumer; empty if nobody does.
        busy: seconds that an invocation of the owner may run at most.
        seconds: for how long nobody else takes over.
        seen: when this revision was seen first, on a monotonic clock.
    """

    revision: int
    owner: str
    busy: float
    seconds: float
    seen: float


class Lease:
    """The ownership of one consumer, as one connector sees it."""

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        stream: str,
        consumer: str,
        identity: str,
        *,
        busy: Callable[[], float],
        ack_wait: Callable[[], float],
    ) -> None:
        """Own nothing yet.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            stream: the consumer's stream.
            consumer: the consumer.
            identity: names this connector, and nobody else.
            busy: returns how many seconds an invocation may run.
            ack_wait: returns after how many seconds messages of a connector that is not heard of go
                to others; the lease does not last longer.
        """
        self._js = js
        description = "which connector delivers the messages of a consumer"
        self._bucket = Bucket(nc, js, BUCKET, description, stream)
        self._subject = f"{self._bucket.prefix}{stream}.{consumer}"
        self._name = f"{stream}/{consumer}"
        self.identity = identity
        self._busy = busy
        self._ack_wait = ack_wait
        self._known: _Entry | None = None
        self._owned_until = 0.0
        self._changes = LogOnChange(logger, logging.ERROR)
        self.fault: str | None = None
        """Why it is not known who owns the consumer; None if it is."""
        self.busy_until = 0.0
        """Until when an invocation of the owner before may still run, on a monotonic clock."""
        self.takeovers = 0
        """How often this connector has become the owner."""

    @property
    def seconds(self) -> float:
        """For how long the lease lasts."""
        return min(self._ack_wait(), MAX_SECONDS)

    @property
    def owner(self) -> str:
        """The owner; empty if there is none, or none is known."""
        return self._known.owner if self._known else ""

    def owned(self, now: float) -> bool:
        """Return whether this connector is the owner."""
        return now < self._owned_until

    async def step(self) -> None:
        """Renew the lease, or take it if nobody has it."""
        try:
            if self._known is None or self._known.owner != self.identity:
                await self._look()
            await self._take()
        except (NatsError, OSError, ValueError) as error:
            self.fault = str(error) or type(error).__name__
            text = f"it cannot be found out which connector delivers {self._name}: {self.fault}"
            self._changes.log("lease", text)
        else:
            self.fault = None
            self._changes.recovered("lease", f"the connector that delivers {self._name} is known")

    async def release(self, busy: float) -> None:
        """Let others take over.

        Args:
            busy: seconds that a cancelled invocation may still run in the function.
        """
        known, self._owned_until = self._known, 0.0
        if known is None or known.owner != self.identity:
            return
        self._known = None
        try:
            await self._write("", busy, known.revision)
        except (NatsError, OSError) as error:
            logger.debug("the lease of %s expires: %s", self._name, error)

    async def _look(self) -> None:
        try:
            message = await self._js.get_last_msg(self._bucket.stream, self._subject)
        except NotFoundError:
            self._known = self._entry(0, "")
            return
        value: dict[str, Any] = json.loads(message.data or b"{}")
        revision = message.seq or 0
        if self._known is None or self._known.revision != revision:
            self._known = _Entry(
                revision,
                str(value["owner"]),
                float(value["busy"]),
                float(value["seconds"]),
                time.monotonic(),
            )

    def _entry(self, revision: int, owner: str) -> _Entry:
        return _Entry(revision, owner, self._busy(), self.seconds, time.monotonic())

    async def _take(self) -> None:
        known, sent = self._known, time.monotonic()
        assert known is not None
        mine, seconds = known.owner == self.identity, self.seconds
        if known.owner and not mine and sent - known.seen < known.seconds:
            return
        try:
            revision = await self._write(self.identity, self._busy(), known.revision)
        except APIError as error:
            if error.err_code not in _REPLACED:
                raise
            # somebody else was faster, or the answer to an earlier write was lost
            logger.debug("the lease of %s is not had: %s", self._name, error.description)
            self._known = None
            return
        if not mine or sent >= self._owned_until:
            self.takeovers += 1
            if not mine:
                self.busy_until = sent + known.busy
                logger.info("this connector delivers %s from now on", self._name)
        self._known = self._entry(revision, self.identity)
        self._owned_until = sent + seconds * OWNED

    async def _write(self, owner: str, busy: float, revision: int) -> int:
        value = json.dumps({"owner": owner, "busy": busy, "seconds": self.seconds}).encode()
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision)}
        await self._bucket.prepare()
        return await self._bucket.write(self._subject, value, TIMEOUT_SECONDS, headers)
