"""Messages in flight: delivered by the server and not yet acknowledged."""

import asyncio
import json
import logging
import time
from collections.abc import Iterable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from infra.connector import metrics
from infra.connector.delivery.message import Message, MessageKey, inspect_payload, parse_ack_subject
from infra.connector.dlq.redrive import split_origin
from infra.connector.jetstream.ack_memory import PAUSE_SECONDS, ConsumerAcks

logger = logging.getLogger(__name__)

ACK = b"+ACK"
IN_PROGRESS = b"+WPI"
NAK = b"-NAK"


class InFlightMessages:
    """Tracks messages in flight, keeps the server from redelivering them, and acknowledges them."""

    def __init__(
        self,
        nc: Client,
        stream: str,
        function: str,
        *,
        ack_wait: float,
        acknowledged: ConsumerAcks,
        redrive_prefix: str = "",
    ) -> None:
        """Track nothing yet.

        Args:
            nc: the connection.
            stream: the messages' stream.
            function: the function, for metrics.
            ack_wait: seconds after which the server redelivers a message that it heard nothing of.
            acknowledged: remembers acknowledgements, to send them once more should the server
                redeliver their messages or the connection be lost.
            redrive_prefix: what stands before the subjects of originals in a stream of replayed
                messages; empty for any other stream.
        """
        self._nc = nc
        self._stream = stream
        self.ack_wait = ack_wait
        """Seconds after which the server redelivers a message that it heard nothing of."""
        self._messages: dict[MessageKey, Message] = {}
        self.acknowledged = acknowledged
        self._redrive_prefix = redrive_prefix
        self._unsent: list[tuple[str, bytes]] = []
        self._delayed: dict[MessageKey, float] = {}
        self.busy = asyncio.Event()
        """Set while `send_in_progress` may have something to do."""
        self.events = 0
        """Events of the messages in flight."""
        self.size = 0
        """Payload bytes of the messages in flight."""
        labels = (function, stream)
        self._fetched = metrics.FETCHED.labels(*labels)
        self._fetched_events = metrics.FETCHED_EVENTS.labels(*labels)
        self._redelivered = metrics.REDELIVERED.labels(*labels)
        self._acked = metrics.ACKED.labels(*labels)
        self._returned = metrics.RETURNED.labels(*labels)
        self._returned_events = metrics.RETURNED_EVENTS.labels(*labels)

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message: Message) -> bool:
        return message.key in self._messages

    def delayed(self, now: float) -> int:
        """Return how many messages were returned to the stream to be redelivered later than `now`.

        Args:
            now: the time on a monotonic clock, in seconds.
        """
        for key in [key for key, due in self._delayed.items() if due <= now]:
            del self._delayed[key]
        return len(self._delayed)

    def all(self) -> list[Message]:
        """Return every message in flight, the oldest first."""
        return list(self._messages.values())

    def oldest(self) -> Message | None:
        """Return the message that has been in flight for the longest."""
        return next(iter(self._messages.values()), None)

    def track(self, msg: Msg, now: float) -> tuple[Message, int] | None:
        """Track a message that the server delivered.

        Args:
            msg: the message.
            now: the time on a monotonic clock, in seconds.

        Returns:
            The message and how many more the stream has for the consumer; None if it is in flight
            or acknowledged already.

        Raises:
            ValueError: it was not delivered by JetStream.
        """
        tokens = parse_ack_subject(msg.reply)
        key = MessageKey(tokens.sequence, tokens.time)
        known = self._messages.get(key)
        if known is not None:
            # redelivered because the server heard nothing of it for longer than ack_wait
            known.reply = msg.reply
            self._redelivered.inc()
            return None
        sent = self.acknowledged.reply(tokens.sequence)
        if sent is not None and parse_ack_subject(sent).time == tokens.time:
            # the acknowledgement was lost with a connection
            self._redelivered.inc()
            self._keep_unsent(msg.reply, ACK)
            return None
        self._delayed.pop(key, None)
        headers, origin = msg.headers or {}, None
        if self._redrive_prefix:
            headers, origin = split_origin(headers)
        is_json, events = inspect_payload(msg.data)
        message = Message(
            key=key,
            id=f"{self._stream}:{tokens.sequence}",
            subject=msg.subject.removeprefix(self._redrive_prefix),
            reply=msg.reply,
            data=msg.data,
            headers=headers,
            events=events,
            is_json=is_json,
            delivered=tokens.delivered,
            progress_sent_at=now,
            origin=origin,
        )
        self._messages[key] = message
        self.busy.set()
        self.events += events
        self.size += message.size
        self._fetched.inc()
        self._fetched_events.inc(events)
        return message, tokens.pending

    async def ack(self, messages: Iterable[Message]) -> None:
        """Acknowledge messages."""
        removed = [message for message in messages if self._remove(message)]
        self._acked.inc(len(removed))
        for message in removed:
            self.acknowledged.add(message.key.sequence, message.reply)
            await self._send(message.reply, ACK)

    async def nak(self, messages: Iterable[Message], delay: float = 0.0) -> None:
        """Return messages to the stream, to be redelivered after `delay` seconds."""
        payload = NAK
        if delay > 0:
            payload += b" " + json.dumps({"delay": int(delay * 1e9)}).encode()
        for message in messages:
            if self._remove(message):
                self._returned.inc()
                self._returned_events.inc(message.unresolved)
                if delay > 0:
                    self._delayed[message.key] = time.monotonic() + delay
                    self.busy.set()
                await self._send(message.reply, payload)

    async def send_in_progress(self, now: float) -> None:
        """Tell the server that messages are in progress, each once in a third of ack_wait."""
        self.delayed(now)  # forgets those that are not delayed any more
        await self.flush_acks()
        if not (self._messages or self._unsent or self._delayed):
            self.busy.clear()
        if not self._nc.is_connected:
            return
        for message in self.all():
            if now - message.progress_sent_at >= self.ack_wait / 3 and message in self:
                message.progress_sent_at = now
                await self._send(message.reply, IN_PROGRESS)

    async def flush_acks(self) -> None:
        """Send the acknowledgements that could not be sent while there was no connection."""
        if self._unsent and self._nc.is_connected:
            unsent, self._unsent = self._unsent, []
            for reply, payload in unsent:
                await self._send(reply, payload)

    def forget_unsent(self) -> None:
        """Send no acknowledgement any more that could not be sent by now."""
        self._unsent.clear()

    async def re_ack(self, stream_created: float) -> None:
        """Acknowledge again the remembered messages that belong to the stream as it is now.

        A server that is shutting down may record an acknowledgement without removing the message,
        which then stays in a work queue for ever: a server that runs alone looks for such messages
        only in streams with interest retention (nats-server 2.15, `checkForOrphanMsgs`). A second
        acknowledgement removes it. They are sent slowly: others wait for the server, too.

        Args:
            stream_created: when the stream was created, in seconds since 1970. After it was deleted
                and created again, the sequences remembered from before belong to other messages.
        """
        async with self.acknowledged.memory.repeating:
            for replies in self.acknowledged.chunks():
                for reply in replies:
                    if not self._nc.is_connected:
                        return  # all of it is repeated after the next connection
                    if parse_ack_subject(reply).time >= stream_created * 1e9:
                        await self._send(reply, ACK)
                await asyncio.sleep(PAUSE_SECONDS)

    def _remove(self, message: Message) -> bool:
        if self._messages.pop(message.key, None) is None:
            return False
        self.events -= message.events
        self.size -= message.size
        return True

    def _keep_unsent(self, reply: str, payload: bytes) -> None:
        self._unsent.append((reply, payload))
        self.busy.set()

    async def _send(self, reply: str, payload: bytes) -> None:
        if not self._nc.is_connected:
            if payload is not IN_PROGRESS:
                self._keep_unsent(reply, payload)
            return
        try:
            await self._nc.publish(reply, payload)
        except Error as error:
            logger.debug("an acknowledgement is sent later: %s", error)
            if payload is not IN_PROGRESS:
                self._keep_unsent(reply, payload)
