"""How the message that makes an invocation fail is found: by bisection."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class RetryWhole(Generic[T]):
    """Charge an attempt to each message, and deliver them together again after a delay."""

    items: Sequence[T]


@dataclass(frozen=True)
class Split(Generic[T]):
    """Deliver each half by itself; no attempt is charged."""

    halves: tuple[Sequence[T], Sequence[T]]


@dataclass(frozen=True)
class Isolated(Generic[T]):
    """The message was delivered alone, so the failure is its own."""

    item: T


Step = RetryWhole[T] | Split[T] | Isolated[T]


def after_failure(items: Sequence[T], failures: int) -> Step[T]:
    """Return the next step after an invocation failed, timed out or lost its connection.

    Args:
        items: the messages of the invocation, at least one.
        failures: how often these messages failed together before.
    """
    if len(items) == 1:
        return Isolated(items[0])
    return RetryWhole(items) if failures == 0 else _halves(items)


def after_rejection(items: Sequence[T]) -> Step[T]:
    """Return the next step after the function rejected the messages; the same call is no use."""
    return Isolated(items[0]) if len(items) == 1 else _halves(items)


def _halves(items: Sequence[T]) -> Split[T]:
    middle = len(items) // 2
    return Split((items[:middle], items[middle:]))
