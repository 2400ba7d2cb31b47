"""Adds up amounts by user, of those users only who can be among the first.

Sorting all entries by user would take most of the time. Added up in buckets of the users' hashes
they are bounds: nobody has more than the amounts above zero of the bucket.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MARGIN = 1e-6
"""Sums in floating point are off by far less, relatively."""
_BUCKETS = 1 << 16
_BUCKETS_OF_ONE = 4
"""So many buckets for each user that is asked for show how much the last of them has at least."""

Hashes = npt.NDArray[np.int64]
Amounts = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Totals:
    """What each user has in all lists.

    Attributes:
        hashes: one a user.
        amounts: the sum of the user's entries.
        listed: how many of these are of lists, and not of loose events.
        first: the place of the user's first entry among all.
    """

    hashes: Hashes
    amounts: Amounts
    listed: Numbers
    first: Numbers


def possible_entries(hashes: Hashes, amounts: Amounts, limit: int, unlisted: int) -> Numbers:
    """Return the places of all entries of users who can be among the first `limit`, and few others.

    Args:
        hashes: the user of each entry.
        amounts: of each entry.
        limit: how many first ones are asked for.
        unlisted: what a user can have beside the entries.
    """
    buckets = hashes & (_BUCKETS - 1)
    sums = np.bincount(buckets, np.maximum(amounts, 0), _BUCKETS)
    fullest = np.zeros(_BUCKETS, np.bool_)
    fullest[np.argpartition(sums, -_BUCKETS_OF_ONE * limit)[-_BUCKETS_OF_ONE * limit :]] = True
    some = add_up(hashes, amounts, np.flatnonzero(fullest[buckets]), len(hashes)).amounts
    if len(some) < limit:
        return np.arange(len(hashes))
    least = float(np.partition(some, -limit)[-limit])
    possible = sums + unlisted >= least * (1 - MARGIN)
    return np.flatnonzero(possible[buckets])


def add_up(hashes: Hashes, amounts: Amounts, places: Numbers, lists_end: int) -> Totals:
    """Add up by user the entries at `places`, ascending; from `lists_end` on of no list."""
    if not len(places):
        return Totals(hashes[:0], amounts[:0], places, places)
    hashes, amounts = hashes[places], amounts[places]
    # stable: lists come first, in their order, and each is in the order of its hashes
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    places = places[order]
    return Totals(
        ordered[starts],
        np.add.reduceat(amounts[order], starts),
        np.add.reduceat((places < lists_end).astype(np.int64), starts),
        places[starts],
    )
