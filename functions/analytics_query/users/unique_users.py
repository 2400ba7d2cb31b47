"""How many different users did something."""

# datasketches has no type stubs
# pyright: reportAttributeAccessIssue=false

import math
from collections import defaultdict
from typing import Any

from datasketches import hll_sketch, hll_union
from typing_extensions import TypedDict

from functions.common.sketches import HLL_ERROR, LG_K

from ..database import Row, Snapshot
from ..formatting import Count
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import cut
from .sampling import ONE_IN, bounds, worth_sampling

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


class RelativeAccuracy(TypedDict):
    """How sure figures are: each is within the relative error of the true one."""

    exact: bool
    relativeError: float
    confidence: float


def exactly(figure: int) -> Accuracy:
    """Return the accuracy of a figure that was counted."""
    return {"exact": True, "lower": figure, "upper": figure, "confidence": 1.0}


def _add(union: Any, row: Row) -> None:
    if row["hll"] is None:
        union.update(row["user_id"])
    else:
        union.update(hll_sketch.deserialize(row["hll"]))


def unique_users(now: Snapshot, query: ReportQuery) -> tuple[int, Accuracy]:
    """Return how many different users the events of a question are of."""
    rows = _rows(now, query)
    if rows is None:
        return _without_sketches(now, query)
    if not rows:
        return 0, exactly(0)
    union = hll_union(LG_K)
    for row in rows:
        _add(union, row)
    estimate = round(union.get_estimate())
    return estimate, {
        "exact": False,
        "lower": min(estimate, math.floor(union.get_lower_bound(_DEVIATIONS))),
        "upper": max(estimate, math.ceil(union.get_upper_bound(_DEVIATIONS))),
        "confidence": CONFIDENCE,
    }


def _without_sketches(now: Snapshot, query: ReportQuery) -> tuple[int, Accuracy]:
    if not worth_sampling(now, query):
        users = now.row(SQL["unique_users_exact"], query.params())["users"]
        return users, exactly(users)
    found = now.row(SQL["unique_users_sampled"], query.params())["users"]
    lower, upper = bounds(found)
    return found * ONE_IN, {
        "exact": False,
        "lower": lower,
        "upper": upper,
        "confidence": CONFIDENCE,
    }


def _rows(now: Snapshot, query: ReportQuery) -> list[Row] | None:
    """Return sketches and users outside of them, None where no sketches are kept."""
    if query.exact or query.campaignId is not None:
        return None
    params = query.params() | cut(query.from_, query.to).params()
    if query.country is None:
        return now.rows(SQL["users_of_range"], params, binary=True)
    if query.funnelStage is None and query.eventType is None:
        return now.rows(SQL["users_of_countries"], params, binary=True)
    return None


def unique_users_by_country(
    now: Snapshot, query: ReportQuery
) -> tuple[dict[str | None, int], RelativeAccuracy]:
    """Return the number of different users by country (None: unknown)."""
    filtered = (query.campaignId, query.funnelStage, query.eventType)
    if query.exact or any(value is not None for value in filtered):
        rows = now.rows(SQL["unique_users_by_country_exact"], query.params())
        counted = {row["country"]: row["users"] for row in rows}
        return counted, {"exact": True, "relativeError": 0.0, "confidence": 1.0}
    params = query.params() | cut(query.from_, query.to).params()
    unions: defaultdict[str | None, Any] = defaultdict(lambda: hll_union(LG_K))
    for row in now.rows(SQL["users_of_countries"], params, binary=True):
        _add(unions[row["country"]], row)
    estimates = {country: round(union.get_estimate()) for country, union in unions.items()}
    return estimates, {"exact": False, "relativeError": HLL_ERROR, "confidence": CONFIDENCE}
