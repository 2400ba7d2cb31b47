"""Estimates from a sample of the users, for questions that no sketch answers."""

import math

from ..database import Snapshot
from ..query.filters import ReportQuery
from ..query.rollup_query import sums
from ..query.statements import Statements
from ..settings import settings

SQL = Statements("report_unique_users.sql")

ONE_IN = 32
"""How many users one of the sample stands for, as the index of sealed days has it."""
_DEVIATIONS = 2


def worth_sampling(now: Snapshot, query: ReportQuery) -> bool:
    """Tell whether counting the users of a question's events would take long."""
    if query.exact:
        return False
    return (
        sums(now, SQL, "number_of_events", query)[0]["events"] > settings().exact_users_max_events
    )


def bounds(found: int, share: float = 1 / ONE_IN) -> tuple[int, int]:
    """Return between which numbers of users lie of whom `found` are in a sample of this share.

    The true number is between them with 95 per cent confidence.
    """
    # one more, so that nothing found does not mean surely nothing
    margin = _DEVIATIONS * math.sqrt((found + 1) * (1 - share)) / share
    return max(found, math.floor(found / share - margin)), math.ceil(found / share + margin)
