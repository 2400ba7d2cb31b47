"""The pace of a replay."""

import pytest

from infra.connector.dlq.pace import Pace


@pytest.mark.parametrize(("rate", "at_once"), [(0.5, 1), (10, 1), (200, 20), (1e6, 64)])
def test_so_many_in_a_second(rate: float, at_once: int) -> None:
    pace = Pace(rate)
    now, done = 100.0, 0
    assert pace.at_once(64) == at_once
    while now < 110.0:
        now += pace.delay(at_once, now)
        done += at_once
    assert done == pytest.approx(10 * rate, rel=0.02, abs=at_once + 1)


def test_time_that_was_lost_is_not_made_up() -> None:
    pace = Pace(1.0)
    assert pace.delay(1, 0.0) == 0.0
    assert pace.delay(1, 60.0) == 0.0
    assert pace.delay(1, 60.0) == 1.0
