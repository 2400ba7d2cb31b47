"""The messages between the stream and the function, and what the server is told about them."""

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from infra.connector import metrics
from infra.connector.delivery.message import Key, Message, inspect_payload, read_ack_subject

log = logging.getLogger(__name__)

ACK = b"+ACK"
IN_PROGRESS = b"+WPI"
NAK = b"-NAK"


class InHand:
    """Knows every message in hand, keeps the server from delivering it again, and settles it."""

    def __init__(
        self, nc: Client, function: str, stream: str, *, ack_wait: float, remember: int
    ) -> None:
        """Make an empty hand.

        Args:
            nc: the connection.
            function: the function, for metrics.
            stream: the stream, for metrics.
            ack_wait: seconds after which the server delivers again what it heard nothing of.
            remember: how many settled messages to remember, in case their acknowledgement is lost.
        """
        self._nc = nc
        self._stream = stream
        self._beat_every = ack_wait / 3
        self._messages: dict[Key, Message] = {}
        self._settled: OrderedDict[Key, str] = OrderedDict()
        self._remember = remember
        self._late: list[tuple[str, bytes]] = []
        self.events = 0
        self.size = 0
        labels = (function, stream)
        self._fetched = metrics.FETCHED.labels(*labels)
        self._fetched_events = metrics.FETCHED_EVENTS.labels(*labels)
        self._repeated = metrics.REPEATED.labels(*labels)
        self._acked = metrics.ACKED.labels(*labels)
        self._returned = metrics.RETURNED.labels(*labels)
        self._returned_events = metrics.RETURNED_EVENTS.labels(*labels)

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message: Message) -> bool:
        return message.key in self._messages

    def all(self) -> list[Message]:
        """Return every message in hand, the oldest first."""
        return list(self._messages.values())

    def oldest(self) -> Message | None:
        """Return the message that was taken first."""
        return next(iter(self._messages.values()), None)

    def take(self, msg: Msg, now: float) -> tuple[Message, int] | None:
        """Take a delivered message in hand.

        Returns:
            The message and how many more the stream has for the consumer; None if it is in hand
            or settled already.
        """
        tokens = read_ack_subject(msg.reply)
        key = Key(tokens.sequence, tokens.time)
        held = self._messages.get(key)
        if held is not None:
            # delivered again because the server heard nothing for too long
            held.reply = msg.reply
            held.delivered = tokens.delivered
            self._repeated.inc()
            return None
        if key in self._settled:
            # its acknowledgement was lost with a connection
            self._repeated.inc()
            self._late.append((msg.reply, ACK))
            return None
        is_json, events = inspect_payload(msg.data)
        message = Message(
            key=key,
            id=f"{self._stream}:{tokens.sequence}",
            subject=msg.subject,
            reply=msg.reply,
            data=msg.data,
            headers=msg.headers or {},
            events=events,
            is_json=is_json,
            delivered=tokens.delivered,
            beat=now,
        )
        self._messages[key] = message
        self.events += events
        self.size += message.size
        self._fetched.inc()
        self._fetched_events.inc(events)
        return message, tokens.pending

    async def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the server that messages are done with."""
        dropped = [message for message in messages if self._drop(message)]
        self._acked.inc(len(dropped))
        for message in dropped:
            self._settled[message.key] = message.reply
            await self._send(message.reply, ACK)
        while len(self._settled) > self._remember:
            self._settled.popitem(last=False)

    async def give_back(self, messages: Iterable[Message], delay: float = 0.0) -> None:
        """Return messages to the stream, to be delivered again after `delay` seconds."""
        payload = NAK
        if delay > 0:
            payload += b" " + json.dumps({"delay": int(delay * 1e9)}).encode()
        for message in messages:
            if self._drop(message):
                self._returned.inc()
                self._returned_events.inc(message.unresolved)
                await self._send(message.reply, payload)

    async def beat(self, now: float) -> None:
        """Tell the server about each message that it is worked on, where that is due."""
        await self.send_late()
        if not self._nc.is_connected:
            return
        for message in self.all():
            if now - message.beat >= self._beat_every and message in self:
                message.beat = now
                await self._send(message.reply, IN_PROGRESS)

    async def send_late(self) -> None:
        """Send what could not be sent while there was no connection."""
        if self._late and self._nc.is_connected:
            late, self._late = self._late, []
            for reply, payload in late:
                await self._send(reply, payload)

    async def acknowledge_again(self, since: float) -> None:
        """Repeat the acknowledgements that are remembered, but of no other stream's messages.

        A server that is going down may note an acknowledgement and not remove the message, which
        then stays in a work queue for good: a server that runs alone looks for such messages only
        in streams with interest retention (nats-server 2.15, `checkForOrphanMsgs`). Acknowledged
        again, it goes.

        Args:
            since: when the stream was made, in seconds since 1970. If it was made anew, what is
                remembered names messages that nobody may have had yet.
        """
        for key, reply in list(self._settled.items()):
            if key.time >= since * 1e9:
                await self._send(reply, ACK)

    def _drop(self, message: Message) -> bool:
        if self._messages.pop(message.key, None) is None:
            return False
        self.events -= message.events
        self.size -= message.size
        return True

    async def _send(self, reply: str, payload: bytes) -> None:
        if not self._nc.is_connected:
            if payload is not IN_PROGRESS:
                self._late.append((reply, payload))
            return
        try:
            await self._nc.publish(reply, payload)
        except Error as error:
            log.debug("an acknowledgement is late: %s", error)
            if payload is not IN_PROGRESS:
                self._late.append((reply, payload))
