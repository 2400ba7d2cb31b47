"""Accumulator."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from infra.connector.delivery.batcher import Accumulator, BatchLimits


@dataclass(frozen=True)
class Item:
    events: int = 1
    size: int = 10


LIMITS = BatchLimits(events=10, size=100, window=0.5, quiet=0.01)


def test_nothing_waits_for_nothing() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    assert accumulator.ready_at() is None
    assert not accumulator.ready(1e9)
    assert accumulator.take() == []


def test_a_lone_message_is_ready_after_the_quiet_time() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    accumulator.add(Item(), 1.0, more_to_come=False)
    assert not accumulator.ready(1.009)
    assert accumulator.ready(1.01)


def test_while_more_is_on_its_way_the_window_is_the_limit() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    accumulator.add(Item(), 1.0, more_to_come=True)
    accumulator.add(Item(), 1.2, more_to_come=True)
    assert accumulator.ready_at() == 1.5
    accumulator.add(Item(), 1.3, more_to_come=False)
    assert accumulator.ready_at() == 1.31


def test_a_busy_function_is_given_more_at_a_time() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    accumulator.add(Item(), 1.0, more_to_come=False)
    assert accumulator.ready_at(busy=True) == 1.5
    assert accumulator.ready(1.1)
    assert not accumulator.ready(1.1, busy=True)
    accumulator.add(Item(events=9), 1.1, more_to_come=False)
    assert accumulator.ready(1.1, busy=True), "it is full"


def test_arrivals_do_not_extend_the_window() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    for step in range(8):
        accumulator.add(Item(), 1.0 + step * 0.07, more_to_come=False)
    assert accumulator.ready_at() == 1.5


def test_a_full_batch_is_ready_at_once() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    accumulator.add(Item(events=9), 1.0, more_to_come=True)
    assert not accumulator.full
    accumulator.add(Item(events=1), 1.0, more_to_come=True)
    assert accumulator.full
    assert accumulator.ready(1.0)


def test_bytes_fill_a_batch_too() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    accumulator.add(Item(size=100), 1.0, more_to_come=True)
    assert accumulator.ready(1.0)


def test_a_message_beyond_the_limits_goes_alone() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    large, small = Item(events=500, size=5000), Item()
    accumulator.add(large, 1.0, more_to_come=True)
    accumulator.add(small, 1.0, more_to_come=True)
    assert accumulator.take() == [large]
    assert accumulator.take() == [small]


def test_what_remains_keeps_its_window() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    for step in range(12):
        accumulator.add(Item(), 1.0 + step / 100, more_to_come=True)
    assert len(accumulator.take()) == 10
    assert accumulator.ready_at() == 1.1 + 0.5


def test_take_all() -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    items = [Item(events=n) for n in (3, 20, 7)]
    for item in items:
        accumulator.add(item, 1.0, more_to_come=False)
    assert accumulator.take_all() == items
    assert (len(accumulator), accumulator.events, accumulator.size) == (0, 0, 0)


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[Item, float, bool]]:
    clock = 0.0
    found = []
    for _ in range(draw(st.integers(0, 40))):
        clock += draw(st.floats(0, 0.3))
        item = Item(draw(st.integers(1, 15)), draw(st.integers(0, 150)))
        found.append((item, clock, draw(st.booleans())))
    return found


@given(arrivals())
def test_order_is_kept_limits_hold_nothing_waits_beyond_the_window(
    given_arrivals: list[tuple[Item, float, bool]],
) -> None:
    accumulator: Accumulator[Item] = Accumulator(LIMITS)
    waiting: list[tuple[Item, float]] = []
    for item, now, more in given_arrivals:
        while accumulator.ready(now):
            check_batch(accumulator, waiting)
        accumulator.add(item, now, more_to_come=more)
        waiting.append((item, now))
        assert accumulator.events == sum(i.events for i, _ in waiting)
        assert accumulator.size == sum(i.size for i, _ in waiting)
        at = accumulator.ready_at()
        assert at is not None
        assert at <= waiting[0][1] + LIMITS.window
    while len(accumulator):
        check_batch(accumulator, waiting)
    assert waiting == []


def check_batch(accumulator: Accumulator[Item], waiting: list[tuple[Item, float]]) -> None:
    batch = accumulator.take()
    assert batch == [item for item, _ in waiting[: len(batch)]]
    del waiting[: len(batch)]
    assert len(batch) == 1 or (
        sum(i.events for i in batch) <= LIMITS.events and sum(i.size for i in batch) <= LIMITS.size
    )
    if waiting:  # as much as fits went along
        following = waiting[0][0]
        assert (
            sum(i.events for i in batch) + following.events > LIMITS.events
            or sum(i.size for i in batch) + following.size > LIMITS.size
        )
