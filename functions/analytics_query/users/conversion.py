"""How many users come from the top of the funnel to its bottom.

A user converts who has an event at the top and a later event at the bottom. The exact number is
counted from the events. The estimate follows a sample of users through the time range: for each
stage and day (or hour, for short ranges) there is a theta sketch with the users whose hash is below
a limit, so below the lowest of these limits the sketches of all days contain the same users. For
each of them the sample tells the first interval at the top and the last interval at the bottom.
Users whose first and last interval coincide are ambiguous: the bounds count them as converted in
one case and as not converted in the other, and allow for the sampling error.
"""

from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Rate, ratio
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import Grain, split_range
from .accuracy import Accuracy, estimated_accuracy, exact_accuracy
from .sampling import SAMPLING_MODULUS, sample_bounds, should_sample
from .theta import Hashes, UserSample, parse_sketch, sample_of_users

SQL = Statements("report_funnel.sql")

MAX_SKETCH_BYTES = 8 * (3 + 1024)
"""Bytes read of each sketch: its lowest 1,024 hashes, which are a smaller sample of its users."""
MAX_SAMPLED_USERS = 60_000
"""The approximate maximum of sampled users, summed over all intervals."""
MAX_HOURLY_RANGE = timedelta(days=8)
"""Ranges up to this length use one sketch per hour, longer ones one per day."""

IntervalNumbers = npt.NDArray[np.int64]


class Conversion(TypedDict):
    """Users at the top, at the bottom, and first at the top and later at the bottom."""

    top: Count
    bottom: Count
    converted: Count
    conversionRate: Rate | None
    accuracy: Accuracy


def conversion(snapshot: Snapshot, query: ReportQuery) -> Conversion:
    """Return how many users of the events that a query covers convert."""
    filtered = (query.eventType, query.country, query.campaignId)
    if query.exact or any(value is not None for value in filtered):
        return _without_sketches(snapshot, query)
    parts = split_range(query.from_, query.to, _sketch_grain(query))
    params = query.params() | parts.params() | {"bytes": MAX_SKETCH_BYTES}
    rows = snapshot.rows(SQL["stages_of_range"], params, binary=True)
    return _estimate([row for row in rows if query.funnelStage in (None, row["funnel_stage"])])


def _without_sketches(snapshot: Snapshot, query: ReportQuery) -> Conversion:
    if not should_sample(snapshot, query):
        row = snapshot.row(SQL["users_by_stage_exact"], query.params())
        accuracy = exact_accuracy(row["converted"])
        return _conversion(row["top"], row["bottom"], row["converted"], accuracy)
    row = snapshot.row(SQL["users_by_stage_sampled"], query.params())
    top, bottom, converted = (
        row[name] * SAMPLING_MODULUS for name in ("top", "bottom", "converted")
    )
    accuracy = estimated_accuracy(*sample_bounds(row["converted"]))
    return _conversion(top, bottom, converted, accuracy)


def _conversion(top: int, bottom: int, converted: int, accuracy: Accuracy) -> Conversion:
    return {
        "top": top,
        "bottom": bottom,
        "converted": converted,
        "conversionRate": ratio(converted, top),
        "accuracy": accuracy,
    }


def _sketch_grain(query: ReportQuery) -> Grain:
    if query.from_ is None or query.to is None:
        return "day"
    return "hour" if query.to - query.from_ <= MAX_HOURLY_RANGE else "day"


def _samples(rows: list[Row], stage: str) -> list[tuple[int, UserSample]]:
    """Return the samples of a stage with the number of their interval, in order."""
    samples: list[tuple[int, UserSample]] = []
    for interval, (_, interval_rows) in enumerate(groupby(rows, key=itemgetter("at"))):
        users: list[str] = []
        for row in interval_rows:
            if row["funnel_stage"] != stage:
                continue
            if row["theta"] is None:
                users.append(row["user_id"])
            else:
                samples.append((interval, parse_sketch(row["theta"])))
        if users:
            samples.append((interval, sample_of_users(users)))
    return samples


def _common_share(samples: Iterable[tuple[int, UserSample]]) -> float:
    """Return the share of all users that every sample covers, lowered to `MAX_SAMPLED_USERS`."""
    sizes = [(sample.share, len(sample.hashes)) for _, sample in samples]
    common = min((share for share, _ in sizes), default=1.0)
    sampled = sum(size * common / share for share, size in sizes)
    return common * min(1.0, MAX_SAMPLED_USERS / max(sampled, 1.0))


def _first_intervals(
    samples: list[tuple[int, UserSample]], share: float
) -> tuple[Hashes, IntervalNumbers]:
    """Return the users below a share, each once, and the first of the given intervals with them."""
    below = [(interval, sample.below(share)) for interval, sample in samples]
    if not below:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    hashes = np.concatenate([users for _, users in below])
    intervals = np.repeat([interval for interval, _ in below], [len(users) for _, users in below])
    users, first = np.unique(hashes, return_index=True)
    return users, intervals[first]


def _estimate(rows: list[Row]) -> Conversion:
    tops, bottoms = _samples(rows, "top"), _samples(rows, "bottom")
    share = _common_share([*tops, *bottoms])
    top_users, first_top = _first_intervals(tops, share)
    bottom_users, last_bottom = _first_intervals(bottoms[::-1], share)
    _, top, bottom = np.intersect1d(
        top_users, bottom_users, assume_unique=True, return_indices=True
    )
    min_converted = int(np.count_nonzero(first_top[top] < last_bottom[bottom]))
    max_converted = int(np.count_nonzero(first_top[top] <= last_bottom[bottom]))
    converted = round((min_converted + max_converted) / 2 / share)
    if min_converted == max_converted and share == 1.0:
        accuracy = exact_accuracy(converted)
    else:
        accuracy = estimated_accuracy(
            min(converted, sample_bounds(min_converted, share)[0]),
            max(converted, sample_bounds(max_converted, share)[1]),
        )
    top_total, bottom_total = round(len(top_users) / share), round(len(bottom_users) / share)
    return _conversion(top_total, bottom_total, converted, accuracy)
