"""The figures that an alert can watch: those of the dashboard, as reports define them."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic_core import PydanticCustomError

Unit = Literal["count", "money", "rate", "ratio"]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        title: as on the dashboard and in docs/analytics.md.
        unit: what it is in; a `rate` is a part of 1, its changes are percentage points.
        report: the name of the report that it is read from.
        of: returns it out of that report's response; None: not known.
        accuracy: returns its accuracy out of the response; None: it is always exact.
    """

    title: str
    unit: Unit
    report: str
    of: Callable[[Any], Any]
    accuracy: Callable[[Any], Any] | None = None

    @property
    def grows(self) -> bool:
        """Whether it only grows while an interval goes on, so that it is judged before its end."""
        return self.unit == "count" or self.title in ("Revenue", "Spend")

    @property
    def by_day(self) -> bool:
        """Whether it is known by whole days only: what was spent is imported so."""
        return self.report == "economics" and self.title not in ("Clicks", "Purchase rate")

    def read(self, response: Any) -> "Value":
        """Return the figure out of a response of its report."""
        value = self.of(response)
        accuracy = None if self.accuracy is None else self.accuracy(response)
        return Value(
            None if value is None else Decimal(str(value)),
            exact=accuracy is None or accuracy["exact"],
        )


@dataclass(frozen=True)
class Value:
    """A figure of an interval; None: not known. Where it is not exact, it is an estimate."""

    amount: Decimal | None
    exact: bool = True


def _total(name: str) -> Callable[[Any], Any]:
    return lambda response: response["totals"][name]


def _cost(name: str) -> Callable[[Any], Any]:
    return lambda response: response["total"][name]


def _stage(name: str) -> Callable[[Any], Any]:
    return lambda response: response[name]


def _purchase_rate(response: Any) -> float | None:
    clicks, purchases = response["total"]["clicks"], response["total"]["purchases"]
    return purchases / clicks if clicks else None


FIGURES: dict[str, Figure] = {
    "events": Figure("Events", "count", "overview", _total("events")),
    "uniqueUsers": Figure(
        "Unique users", "count", "overview", _total("uniqueUsers"), _total("uniqueUsersAccuracy")
    ),
    "buyers": Figure("Buyers", "count", "overview", _total("buyers"), _total("buyersAccuracy")),
    "conversionRate": Figure(
        "Conversion",
        "rate",
        "overview",
        _total("conversionRate"),
        _total("conversionRateAccuracy"),
    ),
    "purchases": Figure("Purchases", "count", "overview", _total("purchases")),
    "revenue": Figure("Revenue", "money", "overview", _total("revenue")),
    "averageOrderValue": Figure("Average order", "money", "overview", _total("averageOrderValue")),
    "top": Figure("Top", "count", "funnel", _stage("top")),
    "bottom": Figure("Bottom", "count", "funnel", _stage("bottom")),
    "clickThroughRate": Figure("Click-through", "rate", "funnel", _stage("clickThroughRate")),
    "continuationRate": Figure(
        "Went on",
        "rate",
        "funnel",
        lambda response: response["users"]["continuationRate"],
        lambda response: response["users"]["accuracy"],
    ),
    "clicks": Figure("Clicks", "count", "economics", _cost("clicks")),
    "purchaseRate": Figure("Purchase rate", "rate", "economics", _purchase_rate),
    "spend": Figure("Spend", "money", "economics", _cost("spend")),
    "costPerClick": Figure("Cost per click", "money", "economics", _cost("costPerClick")),
    "costPerPurchase": Figure("Cost per purchase", "money", "economics", _cost("costPerPurchase")),
    "returnOnSpend": Figure("Return on spend", "ratio", "economics", _cost("returnOnSpend")),
}
"""By the names that they have in responses."""

SUMMARY = (
    "events",
    "uniqueUsers",
    "buyers",
    "conversionRate",
    "purchases",
    "revenue",
    "averageOrderValue",
    "clickThroughRate",
    "spend",
    "returnOnSpend",
)
"""What a summary says; of figures that are not known, nothing."""


def known_figure(name: str) -> str:
    """Return the name of a figure.

    Raises:
        PydanticCustomError: there is none of this name.
    """
    if name not in FIGURES:
        raise PydanticCustomError(
            "unknown_figure", "Known figures: {names}", {"names": ", ".join(FIGURES)}
        )
    return name
