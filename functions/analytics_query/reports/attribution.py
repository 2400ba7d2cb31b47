"""Which campaigns and sources brought revenue: what people touched before they bought."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from functions.common.workspace import workspace

from ..database import Row, Snapshot
from ..formatting import Count, Money, ReportRange, format_money, format_optional_time
from ..query.events_to_read import check_number_to_read, events_between
from ..query.filters import ReportQuery
from ..query.statements import Statements
from ..query.told_country import LeftOut, left_out
from ..query.window import Window, length_of
from ..settings import settings
from .report import Report

SQL = Statements("report_attribution.sql")

Model = Literal["first", "last", "linear"]
By = Literal["campaign", "source"]

DIGITS = 6
"""Decimals of an amount: all is divided and added up in whole millionths, so nothing is lost."""
ONE = 10**DIGITS


class AttributionQuery(ReportQuery):
    """The query parameters of the report; range and filters choose the purchases."""

    model: Model = Field(
        "last",
        description="Who gets a purchase: the `first` touch within the window, the `last`, or all "
        "of them in equal parts (`linear`).",
        examples=["linear"],
    )
    window: Window = Field(
        "7d",
        description="How long before a purchase a touch counts: minutes (`30m`), hours (`24h`) or "
        "days.",
        examples=["7d"],
    )
    by: By = Field(
        "campaign",
        description="`campaign`: touches are events without an amount that carry a campaign, of "
        "the same user and source. `source`: events without an amount of the same user id, of any "
        "source.",
        examples=["campaign"],
    )
    limit: int = Field(100, ge=1, le=1000, description="Maximum number of rows.")


Credit = Annotated[str, Field(pattern=r"^\d+(\.\d{1,6})?$", examples=["12.5"])]
"""A number of purchases as a decimal string: a purchase may be divided among several rows."""


class Attributed(TypedDict):
    """Revenue, and the purchases or parts of purchases that it is of."""

    purchases: Credit
    revenue: Money


class AttributedRow(Attributed):
    """One campaign of a source, or one source; then `campaignId` is null."""

    source: str
    campaignId: str | None


class AttributedRest(Attributed):
    """Rows beyond the limit."""

    rows: Count


class Attribution(ReportRange):
    """All purchases that range and filters choose, by what was touched before.

    `unattributed` has the purchases without a touch. The sums of `items`, `omitted` and
    `unattributed` are exactly `total`.
    """

    model: Model
    window: str
    by: By
    currency: str | None
    total: Attributed
    unattributed: Attributed
    items: list[AttributedRow]
    omitted: AttributedRest
    leftOut: LeftOut | None


_Key = tuple[str, str | None]
"""A source and a campaign of it, or None."""


@dataclass
class _Sums:
    """In millionths."""

    purchases: int = 0
    revenue: int = 0

    def add(self, purchases: int, revenue: int) -> None:
        self.purchases += purchases
        self.revenue += revenue


def attribution(snapshot: Snapshot, query: AttributionQuery) -> Attribution:
    """Return the report.

    Raises:
        UnsupportedQueryError: there are too many events to read them.
    """
    window = length_of(query.window)
    since = _before(query.from_, window)
    _check_events(snapshot, query, since)
    params = query.params() | {
        "by_campaign": query.by == "campaign",
        "touched_from": since,
        "touched_from_day": since and since.date(),
    }
    total, unattributed = _Sums(), _Sums()
    rows: dict[_Key, _Sums] = {}
    for amount, touches in _purchases(snapshot.stream(SQL["attribution"], params), window):
        total.add(ONE, amount)
        if not touches.times:
            unattributed.add(ONE, amount)
            continue
        counted = touches.divide(ONE, query.model)
        for key, part in touches.divide(amount, query.model).items():
            rows.setdefault(key, _Sums()).add(counted[key], part)
    ordered = sorted(
        rows.items(),
        key=lambda item: (-item[1].revenue, -item[1].purchases, item[0][1] or "", item[0][0]),
    )
    rest = _Sums()
    for _, sums in ordered[query.limit :]:
        rest.add(sums.purchases, sums.revenue)
    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "model": query.model,
        "window": query.window,
        "by": query.by,
        "currency": workspace().currency,
        "total": _figures(total),
        "unattributed": _figures(unattributed),
        "items": [
            {"source": source, "campaignId": campaign, **_figures(sums)}
            for (source, campaign), sums in ordered[: query.limit]
        ],
        "omitted": {"rows": len(ordered[query.limit :]), **_figures(rest)},
        "leftOut": left_out(snapshot, query),
    }


class _Touches:
    """What one user touched within the window before now, in order."""

    def __init__(self) -> None:
        self.times: deque[tuple[datetime, _Key]] = deque()
        self._numbers: Counter[_Key] = Counter()

    def add(self, at: datetime, key: _Key) -> None:
        self.times.append((at, key))
        self._numbers[key] += 1

    def forget_before(self, start: datetime) -> None:
        while self.times and self.times[0][0] < start:
            _, key = self.times.popleft()
            self._numbers[key] -= 1
            if not self._numbers[key]:
                del self._numbers[key]

    def divide(self, whole: int, model: Model) -> dict[_Key, int]:
        """Return what each key gets of the whole; there is a touch."""
        if model == "first":
            return {self.times[0][1]: whole}
        last = self.times[-1][1]
        if model == "last":
            return {last: whole}
        part, rest = divmod(whole, len(self.times))
        parts = {key: part * number for key, number in self._numbers.items()}
        parts[last] += rest
        return parts


def _purchases(rows: Iterable[Row], window: timedelta) -> Iterator[tuple[int, _Touches]]:
    """Yield the amount of each purchase, in millionths, and what its user touched before."""
    for _, of_user in groupby(rows, key=lambda row: (row["user_id"], row["same_source"])):
        touches = _Touches()
        for row in of_user:
            at = row["occurred_at"]
            if row["revenue"] is None:
                touches.add(at, (row["source"], row["campaign_id"]))
            else:
                touches.forget_before(at - window)
                yield int(row["revenue"].scaleb(DIGITS)), touches


def _before(start: datetime | None, window: timedelta) -> datetime | None:
    try:
        return start and start - window
    except OverflowError:  # before the year 1 there is nothing
        return None


def _check_events(snapshot: Snapshot, query: AttributionQuery, since: datetime | None) -> None:
    by_campaign = query.by == "campaign"
    source = query.source if by_campaign else None
    one_source = ", or for one source" if by_campaign and source is None else ""
    check_number_to_read(
        query,
        lambda: events_between(snapshot, since, query.to, source),
        settings().attribution_max_events,
        "from",
        "This range and the window before it have",
        f"Ask for a shorter range or window{one_source}",
    )


def _figures(sums: _Sums) -> Attributed:
    return {
        "purchases": f"{_units(sums.purchases):f}",
        "revenue": format_money(_cents(_units(sums.revenue))),
    }


def _units(millionths: int) -> Decimal:
    return Decimal(millionths).scaleb(-DIGITS).normalize()


def _cents(amount: Decimal) -> Decimal:
    """Return an amount with at least two decimals."""
    cents = amount.quantize(Decimal("0.01"))
    return cents if cents == amount else amount


REPORT = Report(
    name="attribution",
    summary="Which campaigns or sources brought revenue",
    description="Revenue and purchases by what people touched within a window before they bought: "
    "the first touch, the last, or all in equal parts. Touches are events without an amount. Range "
    "and filters choose purchases only. Purchases without a touch are `unattributed`, so that the "
    "sums are exactly the revenue. With `linear` each of n touches gets an n-th of the amount and "
    "of the purchase, rounded down to a millionth, the last one the rest: purchases are fractions. "
    "Exact, read from the stored events, up to a number of them that the refusal names.",
    query=AttributionQuery,
    response=Attribution,
    compute=attribution,
)
