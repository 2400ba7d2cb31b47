"""Attempts, bisection, the circuit breaker and the throttle."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common.backoff import Backoff
from infra.connector.delivery.attempts import AttemptCounter
from infra.connector.delivery.bisect import (
    Isolated,
    RetryWhole,
    Split,
    Step,
    after_failure,
    after_rejection,
)
from infra.connector.delivery.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker
from infra.connector.delivery.throttle import CRASH_GRACE_SECONDS, Throttle

# Attempts


def test_attempts_are_counted_by_message() -> None:
    counter: AttemptCounter[int] = AttemptCounter(max_deliver=2)
    assert (counter.count(1), counter.exhausted(1)) == (0, False)
    assert counter.record(1) == 1
    assert not counter.exhausted(1)
    assert counter.record(1) == 2
    assert counter.exhausted(1)
    assert counter.count(2) == 0
    counter.reset(1)
    assert (counter.count(1), len(counter)) == (0, 0)
    counter.reset(1)


def test_the_oldest_counts_are_dropped_first() -> None:
    counter: AttemptCounter[int] = AttemptCounter(max_deliver=9, capacity=2)
    counter.record(1)
    counter.record(2)
    counter.record(1)
    counter.record(3)
    assert [counter.count(key) for key in (1, 2, 3)] == [2, 0, 1]


@pytest.mark.parametrize("arguments", [(0, 10), (1, 0)])
def test_limits_of_a_counter_are_positive(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        AttemptCounter(*arguments)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 5), st.booleans())))
def test_a_counter_counts_as_a_dict_would(max_deliver: int, steps: list[tuple[int, bool]]) -> None:
    counter: AttemptCounter[int] = AttemptCounter(max_deliver)
    counts: dict[int, int] = {}
    for key, charge in steps:
        if charge:
            counts[key] = counts.get(key, 0) + 1
            assert counter.record(key) == counts[key]
        else:
            counts.pop(key, None)
            counter.reset(key)
        assert counter.exhausted(key) == (counts.get(key, 0) >= max_deliver)
    assert len(counter) == len(counts)


# Bisecting


def search(
    count: int, poisonous: set[int], rejects: bool
) -> tuple[int, list[int], list[int], dict[int, int]]:
    """Follow the steps until every message is done or stands alone.

    Returns:
        The number of calls, the messages done, those that stand alone, and the attempts charged.
    """
    calls = 0
    done: list[int] = []
    alone: list[int] = []
    charged: dict[int, int] = {}
    queue: list[tuple[Sequence[int], int]] = [(range(count), 0)]
    while queue:
        items, failures = queue.pop(0)
        calls += 1
        if not poisonous & set(items):
            done += items
            continue
        step: Step[int] = after_rejection(items) if rejects else after_failure(items, failures)
        match step:
            case RetryWhole(again):
                for item in again:
                    charged[item] = charged.get(item, 0) + 1
                queue.append((again, failures + 1))
            case Split(parts):
                assert all(parts)
                queue += [(part, failures + 1) for part in parts]
            case Isolated(item):
                alone.append(item)
    return calls, done, alone, charged


@pytest.mark.parametrize("count", [*range(1, 70), 511, 512, 513])
def test_one_poison_message_is_found_within_the_bound(count: int) -> None:
    for poison in {0, 1 % count, count // 3, count // 2, count - 1}:
        calls, done, alone, charged = search(count, {poison}, rejects=True)
        assert sorted(done + alone) == list(range(count))
        assert alone == [poison]
        assert calls <= 2 * math.ceil(math.log2(count)) + 1
        assert charged == {}
        calls, done, alone, charged = search(count, {poison}, rejects=False)
        assert sorted(done + alone) == list(range(count))
        assert alone == [poison]
        retries = 0 if count == 1 else 1
        assert calls <= 2 * math.ceil(math.log2(count)) + 1 + retries
        assert set(charged.values()) <= {1}, "splitting charges no attempt"


@given(st.integers(1, 200), st.data(), st.booleans())
def test_any_number_of_poison_messages_is_found(
    count: int, data: st.DataObject, rejects: bool
) -> None:
    poisonous = data.draw(st.sets(st.integers(0, count - 1), max_size=10))
    _, done, alone, _ = search(count, poisonous, rejects)
    assert sorted(alone) == sorted(poisonous)
    assert sorted(done) == sorted(set(range(count)) - poisonous)


# The breaker

LIMITS = BreakerLimits(
    ratio=0.9, min_messages=10, window=60.0, cooldown=Backoff((30.0, 120.0), jitter=0.0)
)


def test_few_dead_messages_pass() -> None:
    breaker = CircuitBreaker(LIMITS)
    for step in range(9):
        assert breaker.decide(0, 1, float(step))
    assert breaker.state(9.0) is BreakerState.CLOSED


def test_dead_ones_among_healthy_ones_pass() -> None:
    breaker = CircuitBreaker(LIMITS)
    for step in range(1000):
        assert breaker.decide(1, 1, step / 100)
    assert breaker.state(10.0) is BreakerState.CLOSED


def test_a_whole_batch_of_dead_messages_does_not_pass() -> None:
    breaker = CircuitBreaker(LIMITS)
    assert not breaker.decide(0, 512, 5.0)
    assert breaker.state(5.0) is BreakerState.OPEN
    assert breaker.open_until == 35.0
    assert not breaker.decide(0, 1, 34.9)
    assert not breaker.decide(100, 0, 34.9), "one that ran before proves nothing"
    assert breaker.state(34.9) is BreakerState.OPEN
    assert breaker.state(35.0) is BreakerState.HALF_OPEN


def test_a_trial_that_is_done_closes_it() -> None:
    breaker = CircuitBreaker(LIMITS)
    breaker.decide(0, 512, 5.0)
    assert breaker.decide(1, 0, 40.0)
    assert breaker.state(40.0) is BreakerState.CLOSED
    assert breaker.decide(0, 9, 41.0), "it starts anew"
    assert not breaker.decide(0, 1, 42.0)
    assert breaker.open_until == 72.0


def test_a_trial_that_is_dead_passes_and_opens_it_for_longer() -> None:
    breaker = CircuitBreaker(LIMITS)
    breaker.decide(0, 512, 5.0)
    assert breaker.decide(0, 1, 40.0)
    assert breaker.state(40.0) is BreakerState.OPEN
    assert breaker.open_until == 160.0
    assert breaker.decide(0, 0, 170.0)
    assert breaker.state(170.0) is BreakerState.HALF_OPEN


def test_old_outcomes_do_not_count() -> None:
    breaker = CircuitBreaker(LIMITS)
    assert breaker.decide(0, 9, 0.0)
    assert breaker.decide(0, 9, 60.0)
    assert not breaker.decide(0, 1, 61.0)
    breaker = CircuitBreaker(LIMITS)
    assert breaker.decide(1000, 0, 0.0)
    assert not breaker.decide(0, 10, 60.0)


def test_parts_of_messages_count_in_parts() -> None:
    breaker = CircuitBreaker(LIMITS)
    assert breaker.decide(0.5, 9.5, 0.0)
    assert not breaker.decide(0.0, 0.5, 1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0, 40))))
def test_between_pauses_few_dead_messages_pass(steps: list[tuple[int, int, float]]) -> None:
    """If all are dead, at most `min_messages` and the trials are dead-lettered in a window."""
    breaker = CircuitBreaker(LIMITS)
    now = 0.0
    passed: list[float] = []
    for _, dead, wait in steps:
        now += wait
        trial = breaker.state(now) is BreakerState.HALF_OPEN
        if breaker.decide(0, min(dead, 1) if trial else dead, now):
            passed += [now] * (min(dead, 1) if trial else dead)
        recent = [at for at in passed if at > now - LIMITS.window]
        assert len(recent) < LIMITS.min_messages + 3


# The throttle

OUTAGE = Backoff((1.0, 2.0, 4.0), jitter=0.0)


def test_a_steady_pace_permits_everything() -> None:
    throttle = Throttle(OUTAGE)
    assert throttle.healthy
    assert throttle.may_invoke(0.0, 1000)


def test_unavailable_pauses_then_one_at_a_time() -> None:
    throttle = Throttle(OUTAGE)
    assert throttle.unavailable(10.0, None, 0.0) == 11.0
    assert not throttle.may_invoke(10.9, 0)
    assert throttle.may_invoke(11.0, 0)
    assert not throttle.may_invoke(11.0, 1)
    assert throttle.unavailable(11.5, None, 0.0) == 13.5
    throttle.succeeded()
    assert throttle.may_invoke(11.6, 3)


def test_retry_after_is_honoured() -> None:
    throttle = Throttle(OUTAGE)
    assert throttle.unavailable(10.0, 120.0, 0.0) == 130.0
    assert not throttle.may_invoke(129.0, 0)
    assert throttle.may_invoke(130.0, 0)


def test_several_that_fail_together_lengthen_the_pause_once() -> None:
    throttle = Throttle(OUTAGE)
    for _ in range(8):
        throttle.unavailable(10.0, None, 0.0)
    assert throttle.resume_at == 11.0


def test_some_failures_in_a_row_are_tolerated() -> None:
    throttle = Throttle(OUTAGE, tolerated_failures=3)
    for _ in range(3):
        throttle.failed(1.0, 0.0)
    assert throttle.healthy
    assert not throttle.failing
    throttle.failed(1.0, 0.0)
    assert throttle.failing
    assert not throttle.may_invoke(1.5, 0)
    throttle.succeeded()
    assert throttle.healthy
    assert not throttle.failing


def test_nothing_is_sent_to_a_process_that_is_just_dying() -> None:
    throttle = Throttle(OUTAGE)
    throttle.failed(10.0, 0.0, crashed=True)
    assert throttle.healthy
    assert throttle.resume_at == 10.0 + CRASH_GRACE_SECONDS
    assert not throttle.may_invoke(10.1, 0)
    throttle.succeeded()  # another replica
    assert not throttle.may_invoke(10.1, 0)
    assert throttle.may_invoke(10.0 + CRASH_GRACE_SECONDS, 5)


@given(st.lists(st.tuples(st.sampled_from("ufcs"), st.floats(0, 100))))
def test_a_pause_always_ends(steps: list[tuple[str, float]]) -> None:
    throttle = Throttle(OUTAGE, tolerated_failures=2)
    now = 0.0
    for step, wait in steps:
        now += wait
        match step:
            case "u":
                throttle.unavailable(now, None, 1.0)
            case "f" | "c":
                throttle.failed(now, 1.0, crashed=step == "c")
            case _:
                throttle.succeeded()
        assert throttle.resume_at <= now + 4.0
        assert throttle.may_invoke(now + 4.0, 0)
