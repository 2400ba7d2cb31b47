"""How many users come from the top of the funnel to its bottom.

A user converts when seen at the top and, later, at the bottom. The exact number is counted from the
events. The estimate comes from theta sketches of the users at each stage by day (or hour, where the
range is short): who was at the top in an earlier interval and at the bottom in this one has
converted; who was at both in the same interval may have, in either order. The bounds hold for both
uncertainties, that of the order and that of the sketches.
"""

# datasketches has no type stubs
# pyright: reportAttributeAccessIssue=false

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from datasketches import (
    compact_theta_sketch,
    theta_intersection,
    theta_union,
    update_theta_sketch,
)
from typing_extensions import TypedDict

from functions.common.sketches import LG_K

from .answers import Count, Rate, rate
from .database import Row, Snapshot
from .filters import ReportQuery
from .pieces import Grain, cut
from .statements import Statements
from .unique_users import CONFIDENCE, Accuracy, exactly

SQL = Statements("report_funnel.sql")

_DEVIATIONS = 2
SHORT = timedelta(days=8)
"""Ranges up to this length are looked at by the hour."""


class Conversion(TypedDict):
    """Users at the top, at the bottom, and first at the top and later at the bottom."""

    top: Count
    bottom: Count
    converted: Count
    conversionRate: Rate | None
    accuracy: Accuracy


def conversion(now: Snapshot, query: ReportQuery) -> Conversion:
    """Return how many users of a question's events convert."""
    filtered = (query.eventType, query.country, query.campaignId)
    if query.exact or any(value is not None for value in filtered):
        row = now.row(SQL["users_by_stage_exact"], query.params())
        return _answer(row["top"], row["bottom"], row["converted"], exactly(row["converted"]))
    pieces = cut(query.from_, query.to, _grain(query))
    rows = now.rows(SQL["stages_of_range"], query.params() | pieces.params())
    return _estimate([row for row in rows if query.funnelStage in (None, row["funnel_stage"])])


def _grain(query: ReportQuery) -> Grain:
    if query.from_ is not None and query.to is not None and query.to - query.from_ <= SHORT:
        return "hour"
    return "day"


def _answer(top: int, bottom: int, converted: int, accuracy: Accuracy) -> Conversion:
    return {
        "top": top,
        "bottom": bottom,
        "converted": converted,
        "conversionRate": rate(converted, top),
        "accuracy": accuracy,
    }


def _unite(rows: Iterable[Row]) -> Any:
    union = theta_union(LG_K)
    loose = update_theta_sketch(LG_K)
    for row in rows:
        if row["theta"] is None:
            loose.update(row["user_id"])
        else:
            union.update(compact_theta_sketch.deserialize(row["theta"]))
    union.update(loose)
    return union


def _in_common(one: Any, other: Any) -> Any:
    intersection = theta_intersection()
    intersection.update(one)
    intersection.update(other)
    return intersection.get_result()


@dataclass
class _Stages:
    top: list[Row] = field(default_factory=list)
    bottom: list[Row] = field(default_factory=list)


def _intervals(rows: list[Row]) -> Iterator[_Stages]:
    for _, of_interval in groupby(rows, key=itemgetter("at")):
        stages = _Stages()
        for row in of_interval:
            (stages.top if row["funnel_stage"] == "top" else stages.bottom).append(row)
        yield stages


def _estimate(rows: list[Row]) -> Conversion:
    tops, bottoms = theta_union(LG_K), theta_union(LG_K)
    surely, perhaps = theta_union(LG_K), theta_union(LG_K)
    for stages in _intervals(rows):
        bottom = _unite(stages.bottom).get_result()
        if stages.bottom:
            bottoms.update(bottom)
            surely.update(_in_common(tops.get_result(), bottom))
        if stages.top:
            tops.update(_unite(stages.top).get_result())
        if stages.bottom:
            perhaps.update(_in_common(tops.get_result(), bottom))
    least, most = surely.get_result(), perhaps.get_result()
    converted = round((least.get_estimate() + most.get_estimate()) / 2)
    return _answer(
        round(tops.get_result().get_estimate()),
        round(bottoms.get_result().get_estimate()),
        converted,
        {
            "exact": False,
            "lower": min(converted, math.floor(least.get_lower_bound(_DEVIATIONS))),
            "upper": max(converted, math.ceil(most.get_upper_bound(_DEVIATIONS))),
            "confidence": CONFIDENCE,
        },
    )
