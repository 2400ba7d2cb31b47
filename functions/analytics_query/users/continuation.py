"""How many users come from the top of the funnel to its bottom.

A user goes on who has an event at the top and a later event at the bottom. The exact number is
counted from the events. The estimate follows a sample of users through the time range: for each
stage and day (or hour, for short ranges) there is a theta sketch with the users whose hash is below
a limit, so below the lowest of these limits the sketches of all days contain the same users. For
each of them the sample tells the first interval at the top and the last interval at the bottom.
Users whose first and last interval coincide are ambiguous: the bounds count them as going on in
one case and as staying in the other, and allow for the sampling error.
"""

from datetime import timedelta

from typing_extensions import TypedDict

from ..database import Row, Snapshot
from ..formatting import Count, Rate, ratio
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import Grain, split_range
from .accuracy import Accuracy, estimated_accuracy, exact_accuracy
from .sampling import SAMPLING_MODULUS, sample_bounds, should_sample

SQL = Statements("report_funnel.sql")

MAX_SKETCH_BYTES = 8 * (3 + 1024)
"""Bytes read of each sketch: its lowest 1,024 hashes, which are a smaller sample of its users."""
MAX_HOURLY_RANGE = timedelta(days=8)
"""Ranges up to this length use one sketch per hour, longer ones one per day."""


class Continuation(TypedDict):
    """Users at the top, at the bottom, and first at the top and later at the bottom.

    All are null where the events of a stage do not tell what is filtered by.
    """

    top: Count | None
    bottom: Count | None
    continued: Count | None
    continuationRate: Rate | None
    accuracy: Accuracy | None


def continuation(snapshot: Snapshot, query: ReportQuery, *, known: bool = True) -> Continuation:
    """Return how many users of the events that a query covers go on.

    Args:
        snapshot: the view of the database to read.
        query: which events are looked at.
        known: whether the events of both stages tell what the query filters by; else all is null.
    """
    if not known:
        return {
            "top": None,
            "bottom": None,
            "continued": None,
            "continuationRate": None,
            "accuracy": None,
        }
    filtered = (query.eventType, query.country, query.campaignId)
    if query.from_events or any(value is not None for value in filtered):
        return _without_sketches(snapshot, query)
    parts = split_range(query.from_, query.to, _sketch_grain(query))
    params = query.params() | parts.params() | {"bytes": MAX_SKETCH_BYTES}
    rows = snapshot.rows(SQL["stages_of_range"], params, binary=True)
    return _estimate([row for row in rows if query.funnelStage in (None, row["funnel_stage"])])


def _without_sketches(snapshot: Snapshot, query: ReportQuery) -> Continuation:
    if not should_sample(snapshot, query):
        row = snapshot.row(SQL["users_by_stage_exact"], query.params())
        accuracy = exact_accuracy(row["continued"])
        return _continuation(row["top"], row["bottom"], row["continued"], accuracy)
    row = snapshot.row(SQL["users_by_stage_sampled"], query.params())
    top, bottom, continued = (
        row[name] * SAMPLING_MODULUS for name in ("top", "bottom", "continued")
    )
    accuracy = estimated_accuracy(*sample_bounds(row["continued"]))
    return _continuation(top, bottom, continued, accuracy)


def _continuation(top: int, bottom: int, continued: int, accuracy: Accuracy) -> Continuation:
    return {
        "top": top,
        "bottom": bottom,
        "continued": continued,
        "continuationRate": ratio(continued, top),
        "accuracy": accuracy,
    }


def _sketch_grain(query: ReportQuery) -> Grain:
    if query.from_ is None or query.to is None:
        return "day"
    return "hour" if query.to - query.from_ <= MAX_HOURLY_RANGE else "day"


def _estimate(rows: list[Row]) -> Continuation:
    from .sampled_continuation import count_sampled  # noqa: PLC0415 - numpy takes long to import

    sampled = count_sampled(rows)
    share, least, most = sampled.share, sampled.min_continued, sampled.max_continued
    continued = round((least + most) / 2 / share)
    if least == most and share == 1.0:
        accuracy = exact_accuracy(continued)
    else:
        accuracy = estimated_accuracy(
            min(continued, sample_bounds(least, share)[0]),
            max(continued, sample_bounds(most, share)[1]),
        )
    top, bottom = round(sampled.top / share), round(sampled.bottom / share)
    return _continuation(top, bottom, continued, accuracy)
