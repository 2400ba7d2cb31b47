"""The number of distinct users: from HLL sketches, by counting, or estimated from a sample."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from functions.common.sketches import HLL_ERROR, LG_K

from ..database import Row, Snapshot
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import split_range
from .accuracy import (
    CONFIDENCE,
    STANDARD_DEVIATIONS,
    Accuracy,
    RelativeAccuracy,
    estimated_accuracy,
    exact_accuracy,
)
from .sampling import SAMPLING_MODULUS, sample_bounds, should_sample

if TYPE_CHECKING:
    from datasketches import hll_union

SQL = Statements("report_unique_users.sql")


def unique_users(snapshot: Snapshot, query: ReportQuery) -> tuple[int, Accuracy]:
    """Return the number of distinct users of the events that a query covers."""
    rows = _sketch_rows(snapshot, query)
    if rows is None:
        return without_sketches(
            snapshot, query, SQL["unique_users_exact"], SQL["unique_users_sampled"]
        )
    return union_of(rows)


def union_of(rows: list[Row]) -> tuple[int, Accuracy]:
    """Return the number of distinct users in rows that each have a sketch or a `user_id`."""
    if not rows:
        return 0, exact_accuracy(0)
    union = _new_union()
    for row in rows:
        _add(union, row)
    estimate = round(union.get_estimate())
    return estimate, estimated_accuracy(
        min(estimate, math.floor(union.get_lower_bound(STANDARD_DEVIATIONS))),
        max(estimate, math.ceil(union.get_upper_bound(STANDARD_DEVIATIONS))),
    )


def unique_users_by_country(
    snapshot: Snapshot, query: ReportQuery
) -> tuple[dict[str | None, int], RelativeAccuracy]:
    """Return the number of distinct users per country (None: country unknown)."""
    filtered = (query.campaignId, query.funnelStage, query.eventType)
    if query.from_events or any(value is not None for value in filtered):
        rows = snapshot.rows(SQL["unique_users_by_country_exact"], query.params())
        counted = {row["country"]: row["users"] for row in rows}
        return counted, {"exact": True, "relativeError": 0.0, "confidence": 1.0}
    params = query.params() | split_range(query.from_, query.to).params()
    unions: defaultdict[str | None, hll_union] = defaultdict(_new_union)
    for row in snapshot.rows(SQL["users_of_countries"], params, binary=True):
        _add(unions[row["country"]], row)
    estimates = {country: round(union.get_estimate()) for country, union in unions.items()}
    return estimates, {"exact": False, "relativeError": HLL_ERROR, "confidence": CONFIDENCE}


def _sketch_rows(snapshot: Snapshot, query: ReportQuery) -> list[Row] | None:
    """Return sketches, and the users that are in none; None where no sketch has these filters."""
    if query.from_events or query.campaignId is not None:
        return None
    params = query.params() | split_range(query.from_, query.to).params()
    if query.country is None:
        return snapshot.rows(SQL["users_of_range"], params, binary=True)
    if query.funnelStage is None and query.eventType is None:
        return snapshot.rows(SQL["users_of_countries"], params, binary=True)
    return None


def _new_union() -> hll_union:
    from datasketches import hll_union  # noqa: PLC0415 - takes long, and few requests need it

    return hll_union(LG_K)


def _add(union: hll_union, row: Row) -> None:
    from datasketches import hll_sketch  # noqa: PLC0415

    if row["hll"] is None:
        union.update(row["user_id"])
    else:
        union.update(hll_sketch.deserialize(row["hll"]))


def without_sketches(
    snapshot: Snapshot, query: ReportQuery, all_users: str, sampled: str
) -> tuple[int, Accuracy]:
    """Return the number of users, counted from the events or among a sample of the users.

    Args:
        snapshot: the view of the database to read.
        query: which events are looked at.
        all_users: the SQL statement that counts all.
        sampled: the one that counts those of the sample.
    """
    if not should_sample(snapshot, query):
        users = snapshot.row(all_users, query.params())["users"]
        return users, exact_accuracy(users)
    return sampled_users(snapshot, query, sampled)


def sampled_users(snapshot: Snapshot, query: ReportQuery, statement: str) -> tuple[int, Accuracy]:
    """Return the number of users, from that of the sample, which a statement counts."""
    sampled = snapshot.row(statement, query.params())["users"]
    return sampled * SAMPLING_MODULUS, estimated_accuracy(*sample_bounds(sampled))
