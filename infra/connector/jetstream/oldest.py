"""When the oldest message was stored that a consumer has not had acknowledged."""

import time
from collections.abc import Sequence
from datetime import datetime

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NotFoundError

from infra.connector.jetstream.api import ask

_REFUSAL_SECONDS = 1800.0
"""How long a question that got no answer is not asked again: each takes the whole time-out."""


class OldestMessage:
    """Asks for the oldest message, and only when it may be another one than before."""

    def __init__(self, nc: Client, stream: str) -> None:
        """Know of none.

        Args:
            nc: the connection.
            stream: the consumer's stream.
        """
        self._nc = nc
        self._stream = stream
        self._after = -1
        self._ask_again_at = 0.0
        self.stored: float | None = None
        """When it was stored, in seconds since 1970; None if there is none, or it is not known."""

    def none(self) -> None:
        """Record that nothing waits."""
        self._after, self.stored = -1, None

    async def find(self, after: int, subjects: Sequence[str]) -> None:
        """Find the first message after a sequence.

        Args:
            after: up to which sequence all messages of the consumer are acknowledged.
            subjects: the subjects that the consumer delivers.

        Raises:
            nats.errors.Error: JetStream does not respond.
        """
        now = time.monotonic()
        if after == self._after or now < self._ask_again_at:
            return
        try:
            found = [await self._first(after + 1, subject) for subject in subjects]
        except NatsTimeoutError:  # a user without the right gets no answer
            self._ask_again_at, self.stored = now + _REFUSAL_SECONDS, None
            raise
        times = [stored for stored in found if stored is not None]
        self._after, self.stored = after, min(times, default=None)

    async def _first(self, sequence: int, subject: str) -> float | None:
        question = {"seq": sequence, "next_by_subj": subject}
        try:
            answer = await ask(self._nc, f"STREAM.MSG.GET.{self._stream}", question)
        except NotFoundError:
            return None
        return datetime.fromisoformat(answer["message"]["time"]).timestamp()
