"""How many different users did something."""

# datasketches has no type stubs
# pyright: reportAttributeAccessIssue=false

from datasketches import hll_sketch, hll_union
from typing_extensions import TypedDict

from functions.common.sketches import LG_K

from .answers import Count
from .database import Snapshot
from .filters import ReportQuery
from .pieces import cut
from .statements import Statements

SQL = Statements("report_unique_users.sql")

CONFIDENCE = 0.95
_DEVIATIONS = 2
"""Standard deviations within which an estimate lies with that confidence."""


class Accuracy(TypedDict):
    """How sure a figure is: the true one is within the bounds with the confidence given."""

    exact: bool
    lower: Count
    upper: Count
    confidence: float


def exactly(figure: int) -> Accuracy:
    """Return the accuracy of a figure that was counted."""
    return {"exact": True, "lower": figure, "upper": figure, "confidence": 1.0}


def unique_users(now: Snapshot, query: ReportQuery) -> tuple[int, Accuracy]:
    """Return how many different users the events of a question are of."""
    if query.exact or query.country is not None or query.campaignId is not None:
        users = now.row(SQL["unique_users_exact"], query.params())["users"]
        return users, exactly(users)
    rows = now.rows(SQL["users_of_range"], query.params() | cut(query.from_, query.to).params())
    if not rows:
        return 0, exactly(0)
    united = hll_union(LG_K)
    for row in rows:
        if row["hll"] is None:
            united.update(row["user_id"])
        else:
            united.update(hll_sketch.deserialize(row["hll"]))
    estimate = round(united.get_estimate())
    return estimate, {
        "exact": False,
        "lower": min(estimate, int(united.get_lower_bound(_DEVIATIONS))),
        "upper": max(estimate, -int(-united.get_upper_bound(_DEVIATIONS) // 1)),
        "confidence": CONFIDENCE,
    }


def unique_users_by_country(now: Snapshot, query: ReportQuery) -> dict[str | None, int]:
    """Return the number of different users by country (None: unknown), counted."""
    rows = now.rows(SQL["unique_users_by_country_exact"], query.params())
    return {row["country"]: row["users"] for row in rows}
