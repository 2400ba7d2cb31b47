"""How many users come from the top of the funnel to its bottom.

A user converts when seen at the top and, later, at the bottom. The exact number is counted from the
events. The estimate follows a sample of the users through the range: theta sketches hold, for each
stage and day (or hour, where the range is short), those users whose hash is below a limit, so below
the lowest of the limits the sketches of all days hold the same users. For each of them the sample
tells the first interval at the top and the last one at the bottom. Whose are the same may have
converted or come in the other order; the bounds hold for that and for the sampling.
"""

from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Rate, rate
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import Grain, cut
from .sampling import ONE_IN, bounds, worth_sampling
from .theta import Sample, sample_of, sample_stored
from .unique_users import CONFIDENCE, Accuracy, exactly

SQL = Statements("report_funnel.sql")

_SKETCH_BYTES = 8 * (3 + 1024)
"""How much of a sketch is read: its lowest 1,024 hashes, a smaller sample of the same users."""
MOST_SAMPLED = 60_000
"""About how many users of all intervals together are looked at."""
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
        return _without_sketches(now, query)
    pieces = cut(query.from_, query.to, _grain(query))
    params = query.params() | pieces.params() | {"bytes": _SKETCH_BYTES}
    rows = now.rows(SQL["stages_of_range"], params, binary=True)
    return _estimate([row for row in rows if query.funnelStage in (None, row["funnel_stage"])])


def _without_sketches(now: Snapshot, query: ReportQuery) -> Conversion:
    if not worth_sampling(now, query):
        row = now.row(SQL["users_by_stage_exact"], query.params())
        return _answer(row["top"], row["bottom"], row["converted"], exactly(row["converted"]))
    row = now.row(SQL["users_by_stage_sampled"], query.params())
    top, bottom, converted = (row[name] * ONE_IN for name in ("top", "bottom", "converted"))
    lower, upper = bounds(row["converted"])
    accuracy: Accuracy = {
        "exact": False,
        "lower": lower,
        "upper": upper,
        "confidence": CONFIDENCE,
    }
    return _answer(top, bottom, converted, accuracy)


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


def _samples(rows: list[Row], stage: str) -> list[tuple[int, Sample]]:
    """Return the samples of a stage with the number of their interval, in order."""
    samples: list[tuple[int, Sample]] = []
    for interval, (_, of_interval) in enumerate(groupby(rows, key=itemgetter("at"))):
        loose: list[str] = []
        for row in of_interval:
            if row["funnel_stage"] != stage:
                continue
            if row["theta"] is None:
                loose.append(row["user_id"])
            else:
                samples.append((interval, sample_stored(row["theta"])))
        if loose:
            samples.append((interval, sample_of(loose)))
    return samples


def _limit(samples: Iterable[tuple[int, Sample]]) -> float:
    """Return the share of all users that is looked at."""
    sizes = [(sample.share, len(sample.hashes)) for _, sample in samples]
    share = min((share for share, _ in sizes), default=1.0)
    kept = sum(size * share / own for own, size in sizes)
    return share * min(1.0, MOST_SAMPLED / max(kept, 1.0))


def _intervals(samples: list[tuple[int, Sample]], limit: float) -> tuple[Any, Any]:
    """Return the users of some samples, each once, and the first interval they are in."""
    below = [(interval, sample.below(limit)) for interval, sample in samples]
    if not below:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes = np.concatenate([users for _, users in below])
    intervals = np.repeat([interval for interval, _ in below], [len(users) for _, users in below])
    users, first = np.unique(hashes, return_index=True)
    return users, intervals[first]


def _estimate(rows: list[Row]) -> Conversion:
    tops, bottoms = _samples(rows, "top"), _samples(rows, "bottom")
    share = _limit([*tops, *bottoms])
    at_top, first_top = _intervals(tops, share)
    at_bottom, last_bottom = _intervals(bottoms[::-1], share)
    _, top, bottom = np.intersect1d(at_top, at_bottom, assume_unique=True, return_indices=True)
    surely = int(np.count_nonzero(first_top[top] < last_bottom[bottom]))
    perhaps = int(np.count_nonzero(first_top[top] <= last_bottom[bottom]))
    converted = round((surely + perhaps) / 2 / share)
    if surely == perhaps and share == 1.0:
        accuracy = exactly(converted)
    else:
        accuracy: Accuracy = {
            "exact": False,
            "lower": min(converted, bounds(surely, share)[0]),
            "upper": max(converted, bounds(perhaps, share)[1]),
            "confidence": CONFIDENCE,
        }
    return _answer(round(len(at_top) / share), round(len(at_bottom) / share), converted, accuracy)
