"""How many calls at the same time a function takes is found out with few refused ones."""

from hypothesis import given
from hypothesis import strategies as st

from infra.connector.delivery.adaptive_limit import MAX_INTERVAL_SECONDS, AdaptiveLimit


def refused_calls(takes: int, most: int, seconds: float, call: float = 0.2) -> tuple[int, float]:
    """Return how many calls a function refuses, and the share of what it takes that it gets."""
    limit = AdaptiveLimit()
    now, refused, done = 0.0, 0, 0
    while now < seconds:
        running = 0
        while running < most and limit.allows(running):
            running += 1
        while running > takes:
            running -= 1
            refused += 1
            limit.refused(running, now)
        now += call
        for number in range(running):
            limit.succeeded(running - number, most, now)
        done += running
    return refused, done * call / seconds / min(takes, most)


def test_few_calls_are_wasted_and_all_that_can_run_do() -> None:
    refused, share = refused_calls(takes=2, most=8, seconds=20)
    assert refused < 15
    assert share > 0.95
    refused, share = refused_calls(takes=8, most=8, seconds=20)
    assert (refused, round(share, 1)) == (0, 1.0)
    # over hours it is one in 15 s
    refused, _ = refused_calls(takes=7, most=8, seconds=3600)
    assert refused < 3600 / MAX_INTERVAL_SECONDS * 1.2


def test_a_function_that_takes_more_gets_more() -> None:
    limit = AdaptiveLimit()
    for others in (7, 6, 5, 4, 3, 2):
        limit.refused(others, 0.0)
    assert limit.value == 2
    limit.succeeded(1, 100, 10.0)  # one alone tells nothing
    assert limit.value == 2
    seen: list[int | None] = []
    for second in range(1, 10):
        limit.succeeded(limit.value or 100, 100, float(second))
        seen.append(limit.value)
    assert seen == [3, 5, 9, 17, 33, 65, 100, None, None]


@given(st.integers(1, 20), st.integers(1, 20))
def test_the_limit_settles_at_what_the_function_takes(takes: int, most: int) -> None:
    refused, share = refused_calls(takes, most, seconds=60)
    assert refused <= max(most - takes, 0) + 8 * 8
    assert share > 0.9
