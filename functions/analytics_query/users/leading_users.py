"""Who can be among the first by events or revenue, out of the lists of each day's leading users.

A user is a 64-bit hash in these lists, so that numpy adds up hundreds of thousands of entries in
milliseconds; only those who can be among the first are named. What the lists say of them is
compared with their exact figures afterwards (`Candidates.agree`): should two users share a hash,
it shows, and the report ranks all users instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ..database import Row, Snapshot
from ..query.statements import Statements
from .totals import MARGIN, Amounts, Numbers, Totals, add_up, possible_entries

SQL = Statements("report_users.sql")

UNLISTED_EVENTS = 2
"""What a user without an entry did at most, of one source on one day; `list_leading_users()`."""
MAX_TIED = 2_000
"""So many users beyond the limit are looked at; more are as many as cannot be told apart."""
_MIN_REVENUE = 0.01


@dataclass(frozen=True)
class Candidates:
    """The users who can be among the first, and what lists and loose events say of them.

    Attributes:
        user_ids: in no order.
        listed: the amounts of all of them together, in no order.
    """

    user_ids: list[str]
    listed: Amounts

    def agree(self, exact: Sequence[Decimal]) -> bool:
        """Return whether these are the same amounts, by user: then no two users share a hash."""
        counted = np.sort(np.array(exact, np.float64))
        return len(counted) == len(self.listed) and np.allclose(
            counted, np.sort(self.listed), rtol=MARGIN, atol=0
        )


def find_candidates(snapshot: Snapshot, params: Row, limit: int, slots: int) -> Candidates | None:
    """Return the users who can be among the first `limit`; None where the lists cannot tell.

    Args:
        snapshot: the view of the database to read.
        params: of the statements; `by` says what users are ranked by.
        limit: how many first ones are asked for.
        slots: how many lists there can be: one for each sealed day and source.
    """
    lists = snapshot.rows(SQL["listed_amounts"], params, binary=True)
    [loose] = snapshot.rows(SQL["loose_amounts"], params, binary=True)
    parts = [*lists, loose] if loose["hashes"] else lists
    # as int8send() and float8send() write them
    hashes = np.frombuffer(b"".join(row["hashes"] for row in parts), ">i8").astype(np.int64)
    amounts = np.frombuffer(b"".join(row["amounts"] for row in parts), ">f8").astype(np.float64)
    unlisted = 0 if params["by"] == "revenue" else UNLISTED_EVENTS * slots
    places = possible_entries(hashes, amounts, limit, unlisted)
    totals = add_up(hashes, amounts, places, _list_ends(lists)[-1])
    if len(totals.hashes) < limit:
        return None
    last_one = float(np.partition(totals.amounts, -limit)[-limit])
    if params["by"] == "revenue":
        chosen = totals.amounts >= last_one * (1 - MARGIN)
        known = last_one > _MIN_REVENUE
    else:
        missing = UNLISTED_EVENTS * (slots - totals.listed)
        chosen = totals.amounts + missing >= last_one
        known = last_one > UNLISTED_EVENTS * slots
    places = np.flatnonzero(chosen)
    if not known or len(places) > limit + MAX_TIED:
        return None
    user_ids = _names(snapshot, params, lists, totals, places)
    return Candidates(user_ids, totals.amounts[places])


def _list_ends(lists: list[Row]) -> Numbers:
    """Return where each list ends among all entries; before them the number 0."""
    return np.cumsum([0, *(len(row["hashes"]) // 8 for row in lists)])


def _names(
    snapshot: Snapshot, params: Row, lists: list[Row], totals: Totals, places: Numbers
) -> list[str]:
    ends = _list_ends(lists)
    first = totals.first[places]
    listed = first[first < ends[-1]]
    numbers = np.searchsorted(ends, listed, side="right") - 1
    at: Row = {
        "days": [lists[number]["day"] for number in numbers],
        "sources": [lists[number]["source"] for number in numbers],
        "places": (listed - ends[numbers] + 1).tolist(),
    }
    found = snapshot.rows(SQL["names_of_listed"], params | at)
    unnamed = totals.hashes[places][first >= ends[-1]].tolist()
    if unnamed:
        found += snapshot.rows(SQL["names_of_loose"], params | {"hashes": unnamed})
    return [row["user_id"] for row in found]
