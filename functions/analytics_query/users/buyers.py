"""How many of the users seen have bought something, and which share of them that is.

A buyer is a user with at least one purchase, an event with an amount. Buyers are estimated from the
sketches of the users of each event type, for the types whose events are purchases. Where a type has
events without an amount too, somebody in its sketch may not have bought: there are at most as many
of those as such events, which the lower bound allows for. Where there are many of them, and where
no sketch has the filters, buyers are counted from the events, or among a sample of the users.
"""

from collections.abc import Iterable

from ..database import Row, Snapshot
from ..formatting import ratio
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.time_range import split_range
from .accuracy import Accuracy, RateAccuracy, exact_accuracy, rate_accuracy
from .unique_users import union_of, without_sketches

SQL = Statements("report_unique_users.sql")

MAX_UNPAID_SHARE = 0.05
"""Events without an amount for each purchase, above which sketches say too little of buyers."""


def buyers(snapshot: Snapshot, query: ReportQuery, types: Iterable[Row]) -> tuple[int, Accuracy]:
    """Return the number of distinct users with a purchase.

    Args:
        snapshot: the view of the database to read.
        query: which events are looked at.
        types: the `events` and `purchases` of each `event_type` of the query.
    """
    bought = [row for row in types if row["purchases"]]
    if not bought:
        return 0, exact_accuracy(0)
    purchases = sum(row["purchases"] for row in bought)
    unpaid = sum(row["events"] for row in bought) - purchases
    filtered = query.campaignId is not None or query.country is not None
    if query.from_events or filtered or unpaid > MAX_UNPAID_SHARE * purchases:
        return without_sketches(snapshot, query, SQL["buyers_exact"], SQL["buyers_sampled"])
    params = query.params() | split_range(query.from_, query.to).params()
    params["purchase_types"] = [row["event_type"] for row in bought]
    users, accuracy = union_of(snapshot.rows(SQL["buyers_of_range"], params, binary=True))
    accuracy["lower"] = max(0, accuracy["lower"] - unpaid)
    accuracy["exact"] = accuracy["exact"] and not unpaid
    return users, accuracy


def conversion(
    bought: tuple[int, Accuracy], seen: tuple[int, Accuracy]
) -> tuple[float | None, RateAccuracy | None]:
    """Return the share of the users seen who have bought; None where nobody was seen."""
    (buyers, _), (users, _) = bought, seen
    if users == 0:
        return None, None
    return ratio(min(buyers, users), users), rate_accuracy(bought[1], seen[1])
