"""The charged attempts of a binding's messages: counted here, shared with other connectors."""

import logging
from collections.abc import Iterable, Sequence

from nats.errors import Error as NatsError

from functions.common.log_on_change import LogOnChange
from infra.connector.delivery.attempts import AttemptCounter
from infra.connector.delivery.message import Message, MessageKey
from infra.connector.http.cloudevents import delivery_count
from infra.connector.jetstream.attempt_store import AttemptStore, Charges

logger = logging.getLogger(__name__)


class SharedAttempts:
    """Keeps the counts of a binding and those in the store the same.

    Without the store (no NATS, no right to use the bucket) messages are delivered all the same, and
    their attempts are counted by each connector for itself.
    """

    def __init__(self, counter: AttemptCounter[MessageKey], store: AttemptStore) -> None:
        self._counter = counter
        self._store = store
        self._changes = LogOnChange(logger)

    async def recall(self, messages: Sequence[Message]) -> list[Message]:
        """Learn what was charged before to messages that the server has delivered before.

        Returns:
            Those that have no attempt left: they are dead, and not delivered once more.
        """
        unknown = [m for m in messages if m.delivered > 1 and not (m.recalled or m.parent)]
        if not unknown:
            return []
        try:
            found = await self._store.load(message.key for message in unknown)
        except (NatsError, OSError, ValueError) as error:
            self._report(error)
            found = {}
        exhausted: list[Message] = []
        for message in unknown:
            message.recalled = True
            if charges := found.get(message.key):
                message.delivered = max(message.delivered, charges.calls + 1)
                message.part_attempts.update(charges.parts)
                self._counter.restore(message.key, charges.attempts)
                for (first, events), attempts in charges.parts.items():
                    self._counter.restore(_part_key(message, first, events), attempts)
                # one that can be split is not dead as a whole: the bad event of it is looked for
                if self._counter.exhausted(message.key) and message.separable_events == 1:
                    exhausted.append(message)
        return exhausted

    async def share(self, messages: Iterable[Message]) -> None:
        """Store what was charged to messages, or parts of messages, since this was called last."""
        changed: dict[MessageKey, Charges] = {}
        for message in messages:
            if not self._counter.take_changed(message.key):
                continue
            top = message.top
            charges = changed.setdefault(top.key, Charges(self._counter.count(top.key)))
            charges.calls = max(charges.calls, delivery_count(message))
            if message.parent:
                top.part_attempts[message.key.first, message.key.events] = self._counter.count(
                    message.key
                )
            charges.parts = top.part_attempts
        if not changed:
            return
        try:
            await self._store.save(changed)
        except (NatsError, OSError) as error:
            self._report(error)
        else:
            self._changes.recovered("store", "attempts are kept in the bucket again")

    def _report(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        self._changes.log("store", f"attempts are not shared and not kept over a restart: {text}")


def _part_key(message: Message, first: int, events: int) -> MessageKey:
    return MessageKey(message.key.sequence, message.key.time, first, events)
