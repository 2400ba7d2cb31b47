"""Delays between retries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common.backoff import Backoff


def test_backoff_repeats_its_last_delay() -> None:
    backoff = Backoff((1.0, 5.0, 30.0), jitter=0.0)
    assert [backoff.delay(n, 0.7) for n in (0, 1, 2, 3, 4, 99)] == [1, 1, 5, 30, 30, 30]
    assert backoff.delays[-1] == 30.0


def test_exponential() -> None:
    assert Backoff.exponential(0.25, 3.0).delays == (0.25, 0.5, 1.0, 2.0, 3.0)
    assert Backoff.exponential(5.0, 5.0).delays == (5.0,)
    assert Backoff.exponential(1.0, 10.0, factor=3.0, jitter=0.0) == Backoff(
        (1.0, 3.0, 9.0, 10.0), 0.0
    )


def test_without_chance_the_delay_is_the_whole_one() -> None:
    assert Backoff.exponential(0.5, 30.0).delay(3) == 2.0


@given(
    st.lists(st.floats(0, 1e6), min_size=1),
    st.floats(0, 1),
    st.integers(-5, 100),
    st.floats(0, 1),
)
def test_jitter_only_shortens(
    delays: list[float], jitter: float, failures: int, chance: float
) -> None:
    full = Backoff(tuple(delays), 0.0).delay(failures, 0.0)
    delay = Backoff(tuple(delays), jitter).delay(failures, chance)
    assert full * (1 - jitter) * 0.999999 <= delay <= full * 1.000001


@pytest.mark.parametrize("arguments", [((),), ((-1.0,),), ((1.0,), 1.5), ((1.0,), -0.1)])
def test_not_a_backoff(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="not a backoff"):
        Backoff(*arguments)


@pytest.mark.parametrize(("first", "factor"), [(0.0, 2.0), (1.0, 1.0), (1.0, 0.5)])
def test_delays_that_never_reach_the_longest_are_refused(first: float, factor: float) -> None:
    with pytest.raises(ValueError, match="not a backoff"):
        Backoff.exponential(first, 10.0, factor=factor)
