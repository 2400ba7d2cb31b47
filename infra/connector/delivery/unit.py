"""What goes into one invocation."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.connector.delivery.message import Message


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages that go into one invocation.

    Attributes:
        messages: at least one.
        failures: how often they failed together.
        exclusive: nothing else runs beside it: a message that kills the function's process would
            take other invocations with it, which would be charged for it.
        successes: invocations that had succeeded when an attempt was last charged.
    """

    messages: Sequence[Message]
    failures: int = 0
    exclusive: bool = False
    successes: int = -1

    @property
    def events(self) -> int:
        """How many events its messages hold."""
        return sum(message.events for message in self.messages)
