"""How the message that makes an invocation fail is found: by bisection."""

from collections.abc import Callable, Sequence
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


def halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return the first half and the second one."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


Halve = Callable[[Sequence[T]], tuple[Sequence[T], Sequence[T]]]


def after_failure(items: Sequence[T], failures: int, halve: Halve[T] = halves) -> Step[T]:
    """Return the next step after an invocation failed, timed out or lost its connection.

    Args:
        items: the messages of the invocation, at least one.
        failures: how often these messages failed together before.
        halve: returns two halves of at least two items.
    """
    if len(items) == 1:
        return Isolated(items[0])
    return RetryWhole(items) if failures == 0 else Split(halve(items))


def after_rejection(items: Sequence[T], halve: Halve[T] = halves) -> Step[T]:
    """Return the next step after the function rejected the messages; the same call is no use."""
    return Isolated(items[0]) if len(items) == 1 else Split(halve(items))
