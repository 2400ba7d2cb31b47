"""Batches."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.connector.delivery.batcher import Batcher, BatchLimits


@dataclass(frozen=True)
class Item:
    events: int = 1
    size: int = 10


LIMITS = BatchLimits(max_events=10, max_bytes=100, window=0.5, linger=0.01)


def test_nothing_waits_for_nothing() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    assert batcher.ready_at() is None
    assert not batcher.ready(1e9)
    assert batcher.take() == []


def test_a_lone_message_is_ready_after_the_linger() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add(Item(), 1.0, more_to_come=False)
    assert not batcher.ready(1.009)
    assert batcher.ready(1.01)


def test_while_more_is_on_its_way_the_window_is_the_limit() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add(Item(), 1.0, more_to_come=True)
    batcher.add(Item(), 1.2, more_to_come=True)
    assert batcher.ready_at() == 1.5
    batcher.add(Item(), 1.3, more_to_come=False)
    assert batcher.ready_at() == 1.31


def test_few_events_wait_for_the_whole_window_where_more_are_wanted() -> None:
    batcher: Batcher[Item] = Batcher(replace(LIMITS, min_events=3))
    batcher.add(Item(), 1.0, more_to_come=False)
    batcher.add(Item(), 1.2, more_to_come=False)
    assert batcher.ready_at() == 1.5
    batcher.add(Item(), 1.3, more_to_come=False)
    assert batcher.ready_at() == 1.31
    batcher.take()
    batcher.add(Item(events=10), 2.0, more_to_come=False)
    assert batcher.ready(2.0), "it is full"


def test_a_busy_function_is_given_more_at_a_time() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add(Item(), 1.0, more_to_come=False)
    assert batcher.ready_at(busy=True) == 1.5
    assert batcher.ready(1.1)
    assert not batcher.ready(1.1, busy=True)
    batcher.add(Item(events=9), 1.1, more_to_come=False)
    assert batcher.ready(1.1, busy=True), "it is full"


@pytest.mark.parametrize(("messages", "pause_ends"), [(2, 1.03), (5, 1.12), (900, 1.12)])
def test_after_an_invocation_of_several_messages_others_gather(
    messages: int, pause_ends: float
) -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.invoked(messages, 0.03, 1.0)
    batcher.add(Item(), 1.01, more_to_come=False)
    assert batcher.ready_at() == pytest.approx(pause_ends)
    batcher.add(Item(), 1.115, more_to_come=False)
    assert batcher.ready_at() == pytest.approx(1.125), "the linger"
    batcher.add(Item(events=8), 1.116, more_to_come=False)
    assert batcher.ready(1.116), "it is full"


def test_lone_messages_do_not_wait_for_others() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.invoked(1, 0.03, 1.0)
    batcher.add(Item(), 1.0, more_to_come=False)
    assert batcher.ready_at() == 1.01
    assert batcher.take()
    batcher.invoked(2, 0.03, 2.0)
    batcher.add(Item(), 2.2, more_to_come=False)
    assert batcher.ready_at() == 2.21, "the pause is over"


def test_the_pause_after_a_long_invocation_does_not_extend_the_window() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.invoked(9, 60.0, 1.0)
    batcher.add(Item(), 1.1, more_to_come=False)
    assert batcher.ready_at() == 1.6


def test_arrivals_do_not_extend_the_window() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    for step in range(8):
        batcher.add(Item(), 1.0 + step * 0.07, more_to_come=False)
    assert batcher.ready_at() == 1.5


def test_a_full_batch_is_ready_at_once() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add(Item(events=9), 1.0, more_to_come=True)
    assert not batcher.full
    batcher.add(Item(events=1), 1.0, more_to_come=True)
    assert batcher.full
    assert batcher.ready(1.0)


def test_bytes_fill_a_batch_too() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    batcher.add(Item(size=100), 1.0, more_to_come=True)
    assert batcher.ready(1.0)


def test_a_message_beyond_the_limits_goes_alone() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    large, small = Item(events=500, size=5000), Item()
    batcher.add(large, 1.0, more_to_come=True)
    batcher.add(small, 1.0, more_to_come=True)
    assert batcher.take() == [large]
    assert batcher.take() == [small]


def test_what_remains_keeps_its_window() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    for step in range(12):
        batcher.add(Item(), 1.0 + step / 100, more_to_come=True)
    assert len(batcher.take()) == 10
    assert batcher.ready_at() == 1.1 + 0.5


def test_take_all() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    items = [Item(events=n) for n in (3, 20, 7)]
    for item in items:
        batcher.add(item, 1.0, more_to_come=False)
    assert batcher.take_all() == items
    assert (len(batcher), batcher.events, batcher.size) == (0, 0, 0)


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
    batcher: Batcher[Item] = Batcher(LIMITS)
    waiting: list[tuple[Item, float]] = []
    for item, now, more in given_arrivals:
        while batcher.ready(now):
            check_batch(batcher, waiting)
        batcher.add(item, now, more_to_come=more)
        waiting.append((item, now))
        assert batcher.events == sum(i.events for i, _ in waiting)
        assert batcher.size == sum(i.size for i, _ in waiting)
        at = batcher.ready_at()
        assert at is not None
        assert at <= waiting[0][1] + LIMITS.window
    while len(batcher):
        check_batch(batcher, waiting)
    assert waiting == []


def check_batch(batcher: Batcher[Item], waiting: list[tuple[Item, float]]) -> None:
    batch = batcher.take()
    assert batch == [item for item, _ in waiting[: len(batch)]]
    del waiting[: len(batch)]
    assert len(batch) == 1 or (
        sum(i.events for i in batch) <= LIMITS.max_events
        and sum(i.size for i in batch) <= LIMITS.max_bytes
    )
    if waiting:  # as much as fits went along
        following = waiting[0][0]
        assert (
            sum(i.events for i in batch) + following.events > LIMITS.max_events
            or sum(i.size for i in batch) + following.size > LIMITS.max_bytes
        )


@given(
    st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.sampled_from([0.0, 0.004, 0.3]))),
    st.integers(1, 8),
)
def test_who_waits_is_told_of_each_message_that_is_to_be_delivered_earlier(
    arrivals: list[tuple[int, bool, float]], min_events: int
) -> None:
    batcher: Batcher[Item] = Batcher(replace(LIMITS, min_events=min_events))
    now = 1.0
    for events, more_to_come, seconds in arrivals:
        now += seconds
        before = [batcher.ready_at(busy=busy) for busy in (False, True)]
        told = batcher.add(Item(events), now, more_to_come=more_to_come)
        for earlier, busy in zip(before, (False, True), strict=True):
            at = batcher.ready_at(busy=busy)
            assert at is not None
            assert told or (earlier is not None and at >= earlier)


def test_nobody_is_told_of_one_more_among_others() -> None:
    batcher: Batcher[Item] = Batcher(LIMITS)
    told = [batcher.add(Item(), 1.0, more_to_come=False) for _ in range(11)]
    assert told == [True, *[False] * 8, True, True]
