"""Whether two ways to a report end in the same figures.

An answer is figures by their keys. Ours are pairs: the figure and how far it may be off, which is 0
but for people who are estimated. Bounds hold with 95 per cent confidence, and there are hundreds of
figures: so each may be off by twice its bound.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

Rows = list[list[tuple[Any, ...]]]
"""The rows of each statement."""
Ours = dict[Any, tuple[Decimal, float]]
Theirs = dict[Any, Decimal]


def differences(name: str, ours: Any, theirs: Rows) -> list[str]:
    """Return what differs between our answer and that of statements over the same events.

    Args:
        name: of the report; of those that are not in `COMPARED` nothing is compared.
        ours: the response.
        theirs: the rows of `newer_statements`.
    """
    if name not in COMPARED:
        return []
    our_figures, their_figures = (
        dict(read(answer)) for read, answer in zip(COMPARED[name], (ours, theirs), strict=True)
    )
    found: list[str] = []
    for key in our_figures.keys() | their_figures.keys():
        figure, bound = our_figures.get(key, (Decimal(), 0.0))
        other = their_figures.get(key, Decimal())
        if abs(figure - other) > 2 * bound:
            found.append(f"{name} {key}: {figure} (+- {bound:.0f}), and {other}")
    return sorted(found)


def _exact(value: Any) -> tuple[Decimal, float]:
    return Decimal(value or 0), 0.0


def _people(value: int, accuracy: Any) -> tuple[Decimal, float]:
    return Decimal(value), max(accuracy["upper"] - value, value - accuracy["lower"])


def _our_steps(answer: Any) -> Iterator[Any]:
    for place, step in enumerate(answer["steps"]):
        yield place, _people(step["people"], step["peopleAccuracy"])


def _their_steps(rows: Rows) -> Iterator[Any]:
    for place, people in enumerate(rows[0][0]):
        yield place, Decimal(people)


def _our_retention(answer: Any) -> Iterator[Any]:
    times = [time[:10] for time in answer["times"]]
    for item in answer["items"]:
        for cohort in item["cohorts"]:
            first = times.index(cohort["time"][:10])
            _, bound = _people(cohort["users"], cohort["usersAccuracy"])
            for place, people in enumerate(cohort["returned"]):
                yield (times[first], times[first + place]), (Decimal(people), bound)


def _their_retention(rows: Rows) -> Iterator[Any]:
    for cohort, period, people in rows[0]:
        yield (f"{cohort:%Y-%m-%d}", f"{period:%Y-%m-%d}"), Decimal(people)


def _our_breakdown(answer: Any) -> Iterator[Any]:
    for item in [*answer["items"], {"value": None, **answer["unknown"]}]:
        yield (item["value"], "events"), _exact(item["events"])
        yield (item["value"], "people"), _people(item["people"], item["peopleAccuracy"])
        yield (item["value"], "purchases"), _exact(item["purchases"])
        yield (item["value"], "revenue"), _exact(item["revenue"])


def _their_breakdown(rows: Rows) -> Iterator[Any]:
    for value, *figures in rows[0]:
        for what, figure in zip(("events", "people", "purchases", "revenue"), figures, strict=True):
            yield (value, what), Decimal(figure or 0)


def _our_economics(answer: Any) -> Iterator[Any]:
    for item in answer["items"]:
        for what in ("clicks", "purchases", "revenue", "spend"):
            yield (item["source"], item["campaignId"], what), _exact(item[what])


def _their_economics(rows: Rows) -> Iterator[Any]:
    for source, campaign, *figures in rows[0]:
        for what, figure in zip(("clicks", "purchases", "revenue"), figures, strict=True):
            yield (source, campaign, what), Decimal(figure or 0)
    for source, campaign, spend in rows[1]:
        yield (source, campaign, "spend"), Decimal(spend)


def _our_attribution(answer: Any) -> Iterator[Any]:
    for item in [*answer["items"], {"campaignId": None, **answer["unattributed"]}]:
        for what in ("purchases", "revenue"):
            yield (item["campaignId"], what), _exact(item[what])


def _their_attribution(rows: Rows) -> Iterator[Any]:
    for campaign, purchases, revenue in rows[0]:
        yield (campaign, "purchases"), Decimal(purchases)
        yield (campaign, "revenue"), Decimal(revenue)


def _our_live(answer: Any) -> Iterator[Any]:
    totals = answer["totals"]
    yield "people", _people(totals["users"], totals["usersAccuracy"])
    for item in answer["byMinute"]:
        yield item["time"][:16], _exact(item["events"])


def _their_live(rows: Rows) -> Iterator[Any]:
    yield "people", Decimal(rows[1][0][0])
    minutes: dict[datetime, int] = {}
    for _, minute, events, *_ in rows[0]:
        minutes[minute] = minutes.get(minute, 0) + events
    for minute, events in minutes.items():
        yield f"{minute:%Y-%m-%dT%H:%M}", Decimal(events)


def _our_events(answer: Any) -> Iterator[Any]:
    yield "events", _exact(len(answer["items"]))


def _their_events(rows: Rows) -> Iterator[Any]:
    yield "events", Decimal(len(rows[0]))


_Read = Callable[[Any], Iterator[Any]]
COMPARED: dict[str, tuple[_Read, _Read]] = {
    "steps": (_our_steps, _their_steps),
    "retention": (_our_retention, _their_retention),
    "by country": (_our_breakdown, _their_breakdown),
    "by browser": (_our_breakdown, _their_breakdown),
    "economics": (_our_economics, _their_economics),
    "attribution": (_our_attribution, _their_attribution),
    "live": (_our_live, _their_live),
    "person": (_our_events, _their_events),
}
