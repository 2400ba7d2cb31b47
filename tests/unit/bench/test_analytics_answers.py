"""The analytics benchmark notices where two ways to a report differ."""

from decimal import Decimal
from typing import Any

from tests.bench.analytics.answers import differences


def steps(people: int, lower: int, upper: int) -> dict[str, Any]:
    return {"steps": [{"people": people, "peopleAccuracy": {"lower": lower, "upper": upper}}]}


def test_a_counted_figure_must_be_the_same() -> None:
    assert differences("steps", steps(10, 10, 10), [[(10,)]]) == []
    assert differences("steps", steps(10, 10, 10), [[(11,)]]) == ["steps 0: 10 (+- 0), and 11"]


def test_an_estimate_may_be_off_by_twice_its_bound() -> None:
    assert differences("steps", steps(320, 300, 340), [[(360,)]]) == []
    assert differences("steps", steps(320, 300, 340), [[(361,)]])


def test_a_figure_that_one_of_them_lacks_differs() -> None:
    answer = {"items": [{"campaignId": "a", "purchases": "1", "revenue": "2.00"}]}
    answer |= {"unattributed": {"purchases": "0", "revenue": "0.00"}}
    rows = [[("a", 1, Decimal("2.00"))]]
    assert differences("attribution", answer, rows) == []
    assert differences("attribution", answer, [[*rows[0], ("b", 1, Decimal(3))]])
