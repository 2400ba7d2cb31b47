"""What to do with a batch whose invocation failed, to find the message at fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class RetryWhole(Generic[T]):
    """Charge an attempt to each message and deliver them together again after a wait."""

    items: Sequence[T]


@dataclass(frozen=True)
class Split(Generic[T]):
    """Deliver each part by itself; nothing is charged."""

    parts: tuple[Sequence[T], Sequence[T]]


@dataclass(frozen=True)
class Alone(Generic[T]):
    """The message at fault stands alone."""

    item: T


Step = RetryWhole[T] | Split[T] | Alone[T]


def after_failure(items: Sequence[T], failures: int) -> Step[T]:
    """Return the next step after an invocation failed, timed out or broke off.

    Args:
        items: the messages of the invocation, at least one.
        failures: how often these messages failed together before.
    """
    if len(items) == 1:
        return Alone(items[0])
    return RetryWhole(items) if failures == 0 else _halves(items)


def after_rejection(items: Sequence[T]) -> Step[T]:
    """Return the next step after the function refused the messages: the same call is no use."""
    return Alone(items[0]) if len(items) == 1 else _halves(items)


def _halves(items: Sequence[T]) -> Split[T]:
    middle = len(items) // 2
    return Split((items[:middle], items[middle:]))
