"""Buckets of NATS (key-value stores) in which connectors keep what all of them have to know."""

from collections.abc import Mapping

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import (
    DEFAULT_PREFIX,
    DiscardPolicy,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NoStreamResponseError, NotFoundError

from functions.common.broker import create_stream
from functions.common.dead_letter import DLQ_DAYS
from functions.common.nats_client import api_prefix, bucket_subject

MAX_BYTES = 32 * 1024**2


class Bucket:
    """A bucket that is made when something is written to it for the first time."""

    def __init__(
        self, nc: Client, js: JetStreamContext, name: str, description: str, like: str
    ) -> None:
        """Know of it; nothing is made.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            name: its name.
            description: what is kept there.
            like: the stream that it has as many copies as.
        """
        self._nc = nc
        self._js = js
        self._description = description
        self._like = like
        self._made = False
        self.stream = f"KV_{name}"
        """The stream of the bucket."""
        self.prefix = f"$KV.{name}."
        """What the subjects of its entries begin with."""

    async def prepare(self) -> None:
        """Make the bucket where nobody would tell that it is missing.

        Raises:
            nats.errors.Error: JetStream does not respond, or refuses.
        """
        # that nothing stores an entry is not told by another domain or account
        if not self._made and api_prefix(self._nc) != DEFAULT_PREFIX:
            try:
                await self._js.stream_info(self.stream)
            except NotFoundError:
                await self._create()
            self._made = True

    async def write(
        self,
        subject: str,
        value: bytes,
        timeout: float,  # noqa: ASYNC109 - the library's argument
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Store an entry, and return its revision; the bucket is made if it is missing.

        Args:
            subject: the entry's subject, which begins with `prefix`.
            value: its value.
            timeout: seconds to wait for the server.
            headers: headers of the message.

        Raises:
            nats.errors.Error: JetStream does not respond, or refuses.
        """
        target = bucket_subject(self._nc, subject)

        async def publish() -> int:
            stored = await self._js.publish(
                target, value, timeout=timeout, stream=self.stream, headers=dict(headers or {})
            )
            return stored.seq

        try:
            return await publish()
        except NoStreamResponseError:
            await self._create()
            return await publish()
        except NatsTimeoutError:
            self._made = False
            raise

    async def _create(self) -> None:
        replicas = (await self._js.stream_info(self._like)).config.num_replicas or 1
        await create_stream(
            self._js,
            StreamConfig(
                name=self.stream,
                description=self._description,
                subjects=[f"{self.prefix}>"],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_msgs_per_subject=1,
                max_age=DLQ_DAYS * 24 * 3600,
                max_bytes=MAX_BYTES,
                discard=DiscardPolicy.OLD,
                num_replicas=replicas,
                # A server that syncs each message to disk needs 3 ms for each: 15 s for the
                # attempts of a failed batch of 5000. A crash of that machine loses the newest.
                persist_mode=PersistMode.ASYNC if replicas == 1 else None,
            ),
        )
