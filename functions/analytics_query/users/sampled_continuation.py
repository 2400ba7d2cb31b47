"""The users of a sample who go on, counted with numpy: continuation.py says how and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from ..database import Row
from .theta import Hashes, UserSample, parse_sketch, sample_of_users

MAX_SAMPLED_USERS = 60_000
"""The approximate maximum of sampled users, summed over all intervals."""

IntervalNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SampledUsers:
    """Numbers of users in a sample.

    Attributes:
        share: the share of all users that the sample is.
        top: at the top of the funnel.
        bottom: at its bottom.
        min_continued: certainly first at the top and later at the bottom.
        max_continued: perhaps so.
    """

    share: float
    top: int
    bottom: int
    min_continued: int
    max_continued: int


def count_sampled(rows: list[Row]) -> SampledUsers:
    """Return the numbers of users in the sample that rows with sketches hold."""
    tops, bottoms = _samples(rows, "top"), _samples(rows, "bottom")
    share = _common_share([*tops, *bottoms])
    top_users, first_top = _first_intervals(tops, share)
    bottom_users, last_bottom = _first_intervals(bottoms[::-1], share)
    _, top, bottom = np.intersect1d(
        top_users, bottom_users, assume_unique=True, return_indices=True
    )
    return SampledUsers(
        share,
        len(top_users),
        len(bottom_users),
        int(np.count_nonzero(first_top[top] < last_bottom[bottom])),
        int(np.count_nonzero(first_top[top] <= last_bottom[bottom])),
    )


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
