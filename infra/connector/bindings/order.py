"""What a binding adds where a function gets the messages of each key in order."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.connector import metrics
from infra.connector.delivery.message import Message, MessageKey
from infra.connector.delivery.ordered_queue import OrderedQueue
from infra.connector.delivery.response import Success
from infra.connector.jetstream.turn import Turn


@dataclass(frozen=True)
class OrderState:
    """How messages are kept in order at present.

    Attributes:
        by: what they are ordered by.
        keys: how many keys have messages that are not settled, as far as they are known here.
        held_keys: how many of these wait since their first message failed.
        some_held: some of these keys.
        returned: messages that are in the stream again, until there is room or time for them.
        owner: the connector that delivers; empty if that is not known.
        here: whether it is this one.
        missing: messages in flight that are not known, as long as nothing is delivered for want of
            them; 0 otherwise; None before they are counted.
        wait_seconds: for how long an invocation of the owner before may still run.
        fault: why the owner is not known; None if it is.
    """

    by: str
    keys: int
    held_keys: int
    some_held: Sequence[str]
    returned: int
    owner: str
    here: bool
    missing: int | None
    wait_seconds: float
    fault: str | None

    def describe(self) -> dict[str, object]:
        """Return it for `/bindings`."""
        return {
            "by": self.by,
            "keys": self.keys,
            "heldKeys": self.held_keys,
            "someHeldKeys": list(self.some_held),
            "returnedMessages": self.returned,
            "owner": self.owner,
            "here": self.here,
            "fault": self.fault,
        }


def order_state(queue: OrderedQueue, turn: Turn, now: float) -> OrderState:
    """Return how messages are kept in order at present.

    Args:
        queue: the messages.
        turn: whether this connector may deliver them.
        now: the time on a monotonic clock, in seconds.
    """
    return OrderState(
        by=queue.order_by.text,
        keys=queue.lanes,
        held_keys=queue.held_keys(),
        some_held=queue.some_held_keys(),
        returned=queue.away,
        owner=turn.lease.owner,
        here=turn.owned(now),
        missing=0 if turn.complete else turn.missing,
        wait_seconds=0.0 if turn.complete else turn.lease.busy_until - now,
        fault=turn.lease.fault,
    )


def order_sentences(state: OrderState) -> Iterator[str]:
    """Yield sentences that say what is held back to keep messages in order, and who delivers."""
    if state.fault:
        yield f"messages stay in order by {state.by}, and nothing is delivered: {state.fault}"
        return
    if not state.here:
        who = f"the connector {state.owner} delivers" if state.owner else "no connector delivers"
        yield f"messages stay in order by {state.by}: {who}, this one does not"
        return
    yield (
        f"messages stay in order by {state.by}: this connector ({state.owner}) delivers them, "
        f"{state.keys} keys have some here"
    )
    if state.missing != 0:
        number = "some" if state.missing is None else str(state.missing)
        wait = (
            f"; a call of the connector before may run for another {state.wait_seconds:.0f} s"
            if state.wait_seconds > 0
            else ""
        )
        yield (
            f"nothing is delivered until {number} messages come back that were at another "
            f"connector{wait}"
        )
    if state.held_keys:
        more = ", ..." if state.held_keys > len(state.some_held) else ""
        yield (
            f"{state.held_keys} keys wait since their first message failed: "
            f"{', '.join(state.some_held)}{more}; the others go on"
        )
    if state.returned:
        yield f"{state.returned} messages that have to wait are in the stream again meanwhile"


def show_order(labels: tuple[str, str], queue: OrderedQueue, turn: Turn) -> None:
    """Let the gauges of a binding show how messages are kept in order."""
    values = {
        metrics.ORDER_KEYS: lambda: queue.lanes,
        metrics.ORDER_HELD_KEYS: queue.held_keys,
        metrics.ORDER_RETURNED: lambda: queue.away,
        metrics.ORDER_OWNER: lambda: int(turn.owned(time.monotonic())),
    }
    for gauge, value in values.items():
        gauge.labels(*labels).set_function(value)


def too_early(messages: Sequence[Message], response: Success) -> list[Message]:
    """Return those that come after a message of the same key that is to be delivered again.

    Whatever the function says of them counts for nothing: it was not their turn. They are delivered
    after the other one, and no attempt is charged.
    """
    again = response.retry.keys() | response.deferred.keys()
    first: dict[str | None, MessageKey] = {}
    for message in messages:
        if message.id in again:
            key = message.top.order_key
            first[key] = min(first.get(key, message.key), message.key)
    return [m for m in messages if m.key > first.get(m.top.order_key, m.key)]
