"""How figures are written."""

import pytest

from functions.analytics_query.formatting import ratio


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 3, 0.333333), (0, 3, 0.0), (3, 2, 1.5), (3, 0, None), (0, 0, None)],
)
def test_a_rate_of_nothing_is_unknown_and_not_zero(
    part: int, whole: int, expected: float | None
) -> None:
    assert ratio(part, whole) == expected
