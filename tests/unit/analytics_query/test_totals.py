"""Amounts added up by user: no user who can be among the first is left out."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.analytics_query.users.totals import add_up, possible_entries

# the lower bits of a hash choose its bucket: some users share one
HASHES = st.sampled_from(
    [user | bucket for user in (0, 1 << 40, -(1 << 50)) for bucket in range(9)]
)
AMOUNTS = st.integers(-40, 100)


@settings(max_examples=50, deadline=None)
@given(
    entries=st.lists(st.tuples(HASHES, AMOUNTS), max_size=60),
    limit=st.integers(1, 12),
    unlisted=st.sampled_from([0, 4]),
)
def test_users_who_can_be_among_the_first(
    entries: list[tuple[int, int]], limit: int, unlisted: int
) -> None:
    hashes = np.array([user for user, _ in entries], np.int64)
    amounts = np.array([amount for _, amount in entries], np.float64)
    lists_end = len(entries) // 2
    places = possible_entries(hashes, amounts, limit, unlisted)
    totals = add_up(hashes, amounts, places, lists_end)

    expected: Counter[int] = Counter()
    listed = Counter(user for user, _ in entries[:lists_end])
    for user, amount in entries:
        expected[user] += amount
    found = dict(zip(totals.hashes.tolist(), totals.amounts.tolist(), strict=True))
    assert found.items() <= expected.items()
    first = sorted(expected.values(), reverse=True)[:limit]
    least = first[-1] if len(first) == limit else -float("inf")
    assert {user for user, amount in expected.items() if amount + unlisted >= least} <= set(found)
    for number, user in enumerate(totals.hashes.tolist()):
        assert totals.listed[number] == listed[user]
        assert entries[totals.first[number]][0] == user
        assert user not in [of for of, _ in entries[: totals.first[number]]]


def test_most_entries_are_not_sorted() -> None:
    users = np.arange(20_000, dtype=np.int64)
    amounts = np.linspace(1, 2, len(users))
    amounts[-10:] = 100
    assert len(possible_entries(users, amounts, 10, 0)) < 100
