"""Estimates from a sample of the users, for queries that no sketch can answer."""

import math

from ..database import Snapshot
from ..query.filters import ReportQuery
from ..query.rollup_query import query_rollups
from ..query.statements import Statements
from ..settings import settings
from .accuracy import STANDARD_DEVIATIONS

SQL = Statements("report_unique_users.sql")

SAMPLING_MODULUS = 32
"""One user in so many is in the sample; `sampling_modulus()` in the database."""


def should_sample(snapshot: Snapshot, query: ReportQuery) -> bool:
    """Return whether the query covers too many events to count their users."""
    if query.exact:
        return False
    [row] = query_rollups(snapshot, SQL, "number_of_events", query)
    return row["events"] > settings().exact_users_max_events


def sample_bounds(sampled: int, share: float = 1 / SAMPLING_MODULUS) -> tuple[int, int]:
    """Return the bounds of the number of users, at 95 per cent confidence.

    Args:
        sampled: the number of users in the sample.
        share: the share of all users that the sample covers, above 0 and at most 1.
    """
    # one more than sampled: an empty sample does not prove that there are no users
    margin = STANDARD_DEVIATIONS * math.sqrt((sampled + 1) * (1 - share)) / share
    return max(sampled, math.floor(sampled / share - margin)), math.ceil(sampled / share + margin)
