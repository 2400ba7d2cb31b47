"""A stored call, and the rule by which it is retried."""

import contextlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass

from functions.common.backoff import Backoff
from functions.common.durations import parse_duration
from infra.local.errors import AsyncCallError

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
RETRY_ANNOTATIONS = "com.openfaas.retry."


@dataclass(frozen=True)
class AsyncCall:
    """A request to be made later.

    Attributes:
        function: the function's name.
        method: the HTTP method.
        target: path and query below the function, as they were received.
        call_id: the correlation id.
        headers: the header fields, in order.
        body: the body.
        callback_url: where the result is posted; empty for nowhere.
    """

    function: str
    method: str
    target: str
    call_id: str
    headers: list[tuple[str, str]]
    body: bytes
    callback_url: str = ""

    def encode(self) -> bytes:
        """Return the payload of its message: a line of JSON, then the bytes of the body."""
        head = {
            "function": self.function,
            "method": self.method,
            "target": self.target,
            "callId": self.call_id,
            "headers": self.headers,
            "callbackUrl": self.callback_url,
        }
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, payload: bytes) -> "AsyncCall":
        """Read the payload of a message.

        Raises:
            AsyncCallError: it is not a stored call.
        """
        line, _, body = payload.partition(b"\n")
        try:
            head = json.loads(line)
            return cls(
                function=head["function"],
                method=head["method"],
                target=head["target"],
                call_id=head["callId"],
                headers=[(name, value) for name, value in head["headers"]],
                body=body,
                callback_url=head["callbackUrl"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise AsyncCallError(f"not a stored call: {error}") from error


@dataclass(frozen=True)
class RetryRule:
    """How often a call is attempted, from the annotations of OpenFaaS Pro.

    Attributes:
        attempts: the attempts in total.
        min_wait: seconds before the first retry; each further wait is twice as long.
        max_wait: the longest wait in seconds.
        codes: the statuses that are retried.
    """

    attempts: int = 10
    min_wait: float = 1.0
    max_wait: float = 120.0
    codes: frozenset[int] = RETRIED_STATUSES

    @classmethod
    def read(cls, annotations: Mapping[str, str]) -> "RetryRule":
        """Read `com.openfaas.retry.{attempts,min_wait,max_wait,codes}`.

        Invalid values are ignored.
        """
        attempts, codes = cls.attempts, cls.codes
        waits = {"min_wait": cls.min_wait, "max_wait": cls.max_wait}
        with contextlib.suppress(KeyError, ValueError):
            attempts = max(1, int(annotations[RETRY_ANNOTATIONS + "attempts"]))
        for name in waits:
            with contextlib.suppress(KeyError, ValueError):
                waits[name] = parse_duration(annotations[RETRY_ANNOTATIONS + name])
        with contextlib.suppress(KeyError, ValueError):
            listed = annotations[RETRY_ANNOTATIONS + "codes"].split(",")
            codes = frozenset(int(code) for code in listed)
        return cls(attempts, codes=codes, **waits)

    def wait(self, attempt: int, chance: float | None = None) -> float:
        """Return the seconds between an attempt, counted from 1, and the next.

        Args:
            attempt: the attempt that failed.
            chance: 0 to 1, adds up to a fifth to the wait; None: a random number.
        """
        first = min(self.min_wait, self.max_wait)
        if first <= 0:
            return 0.0
        # a backoff subtracts its jitter, but no wait may be shorter than min_wait
        backoff = Backoff.exponential(1.2 * first, 1.2 * self.max_wait, jitter=1 / 6)
        return backoff.delay(attempt, random.random() if chance is None else chance)  # noqa: S311
