"""The oracle of report tests: figures computed in plain Python from the events that were sent.

It reads users, countries, campaigns and revenue from the events itself, not with the code under
test.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from functions.common.events import demographics

Each = TypeVar("Each")

LENGTH = {"minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class Fact:
    """The fields of an event that reports use."""

    at: datetime
    source: str
    funnelStage: str
    eventType: str
    userId: str
    country: str | None
    campaignId: str | None
    revenue: Decimal | None
    groups: tuple[tuple[str, str], ...]


def facts(events: Iterable[dict[str, Any]]) -> list[Fact]:
    """Return the fields of each event; of events with the same id and day the first counts."""
    unique: dict[tuple[str, object], Fact] = {}
    for event in events:
        at = datetime.fromisoformat(event["timestamp"]).astimezone(UTC)
        unique.setdefault(
            (event["eventId"], at.date()),
            Fact(
                at,
                event["source"],
                event["funnelStage"],
                event["eventType"],
                event["data"]["user"]["userId"],
                country_of(event),
                event["data"]["engagement"].get("campaignId"),
                revenue_of(event),
                demographics(event),
            ),
        )
    return list(unique.values())


def country_of(event: dict[str, Any]) -> str | None:
    """Return the country of an event; None: it has none."""
    if event["source"] == "facebook":
        return event["data"]["user"]["location"]["country"]
    return event["data"]["engagement"].get("country")


def revenue_of(event: dict[str, Any]) -> Decimal | None:
    """Return the purchase amount of an event; None: it is not a purchase."""
    purchase_amount = event["data"]["engagement"].get("purchaseAmount")
    return None if purchase_amount is None else Decimal(purchase_amount)


def chosen(all_facts: Iterable[Fact], question: dict[str, Any]) -> list[Fact]:
    """Return the facts that a question's filters choose."""
    start, end = moment(question.get("from")), moment(question.get("to"))
    names = ("source", "funnelStage", "eventType", "campaignId", "country")
    if "country" in question and question.get("countryOf") != "event":
        all_facts = [*by_user(all_facts, question["country"])]
    return [
        fact
        for fact in all_facts
        if (start is None or fact.at >= start)
        and (end is None or fact.at < end)
        and all(name not in question or getattr(fact, name) == question[name] for name in names)
    ]


def by_user(all_facts: Iterable[Fact], country: str) -> Iterable[Fact]:
    """Give the facts, with the country where theirs is missing and their user's latest is that."""
    ordered = sorted(all_facts, key=lambda fact: fact.at)
    latest = {(fact.source, fact.userId): fact.country for fact in ordered if fact.country}
    for fact in ordered:
        told = fact.country is None and latest.get((fact.source, fact.userId)) == country
        yield replace(fact, country=country) if told else fact


def moment(text: str | None) -> datetime | None:
    """Return the time that a question names."""
    if text is None:
        return None
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def amount(some: Iterable[Fact]) -> Decimal:
    """Return the sum of the revenue."""
    return sum((fact.revenue for fact in some if fact.revenue is not None), Decimal())


def purchases(some: Iterable[Fact]) -> int:
    """Return how many facts have a revenue."""
    return sum(fact.revenue is not None for fact in some)


def users(some: Iterable[Fact]) -> int:
    """Return how many different users there are."""
    return len({fact.userId for fact in some})


def grouped(some: Iterable[Each], key: Callable[[Each], Any]) -> dict[Any, list[Each]]:
    """Return facts, or others, by a key."""
    groups: defaultdict[Any, list[Each]] = defaultdict(list)
    for fact in some:
        groups[key(fact)].append(fact)
    return dict(groups)


def buyers(some: Iterable[Fact]) -> int:
    """Return how many different users have a revenue."""
    return users(fact for fact in some if fact.revenue is not None)


def stages(some: Iterable[Fact]) -> tuple[int, int]:
    """Return how many facts are of the top and of the bottom."""
    counted = grouped(some, lambda fact: fact.funnelStage)
    return len(counted.get("top", ())), len(counted.get("bottom", ()))


def continued(some: Iterable[Fact]) -> int:
    """Return how many users are seen at the top and later at the bottom."""
    number = 0
    for of_user in grouped(some, lambda fact: fact.userId).values():
        tops = [fact.at for fact in of_user if fact.funnelStage == "top"]
        bottoms = [fact.at for fact in of_user if fact.funnelStage == "bottom"]
        number += bool(tops) and bool(bottoms) and min(tops) < max(bottoms)
    return number


def cohorts(
    all_facts: list[Fact],
    question: dict[str, Any],
    split: str,
    zone: ZoneInfo,
    returns: str,
    start: Callable[[datetime, ZoneInfo], date] | None = None,
) -> dict[Any, dict[date, dict[date, int]]]:
    """Return people by key, week of their first fact ever, and week in which they are seen.

    Args:
        start: the first day of an interval other than the week.
    """
    start = start or week_of
    until = {name: value for name, value in question.items() if name != "from"}
    some = chosen(all_facts, until)
    times = {name: value for name, value in until.items() if name == "to"}
    seen = some if returns == "same" else chosen(all_facts, times)
    weeks: defaultdict[str, set[date]] = defaultdict(set)
    since = moment(question.get("from"))
    for fact in seen:
        if since is None or fact.at >= since:
            weeks[fact.userId].add(start(fact.at, zone))
    found: dict[Any, dict[date, dict[date, int]]] = {}
    keyed = grouped(some, lambda f: ("all" if split == "none" else getattr(f, split), f.userId))
    for (key, user), facts_of_user in keyed.items():
        first = min(fact.at for fact in facts_of_user)
        if key is None or (since is not None and first < since):
            continue
        cohort = found.setdefault(key, {}).setdefault(start(first, zone), {})
        for week in weeks[user]:
            if week >= start(first, zone):
                cohort[week] = cohort.get(week, 0) + 1
    return found


def funnel_steps(
    some: list[Fact], steps: list[Callable[[Fact], bool]], window: timedelta, split: str
) -> dict[Any, list[int]]:
    """Return how many people did so many steps and more, by the first value they tell."""
    found: dict[Any, list[int]] = {}
    for of_user in grouped(some, lambda fact: fact.userId).values():
        ordered = sorted(of_user, key=lambda fact: fact.at)
        done = 0
        for begin in ordered:
            if not steps[0](begin):
                continue
            at, came = begin.at, 1
            for step in steps[1:]:
                after = [f.at for f in ordered if f.at > at and step(f)]
                if not after or after[0] - begin.at > window:
                    break
                at, came = after[0], came + 1
            done = max(done, came)
        if done:
            told = (getattr(f, split) for f in ordered if any(step(f) for step in steps))
            key = "all" if split == "none" else next((key for key in told if key is not None), None)
            reached = found.setdefault(key, [0] * len(steps))
            for step in range(done):
                reached[step] += 1
    return found


def attributed(
    all_facts: list[Fact], bought: list[Fact], model: str, window: timedelta, by: str
) -> dict[Any, tuple[Decimal, Decimal]]:
    """Return purchases and revenue by source and campaign, or by source; None: without a touch."""
    campaigns = by == "campaign"
    touched = grouped(
        (fact for fact in all_facts if fact.revenue is None and (fact.campaignId or not campaigns)),
        lambda fact: (fact.userId, campaigns and fact.source),
    )
    found: dict[Any, tuple[Decimal, Decimal]] = {}
    for purchase in bought:
        if purchase.revenue is None:
            continue
        touches = [
            (fact.at, fact.source, (fact.campaignId or "") if campaigns else "")
            for fact in touched.get((purchase.userId, campaigns and purchase.source), ())
            if purchase.at - window <= fact.at <= purchase.at
        ]
        keys = [(source, campaign or None) for _, source, campaign in sorted(touches)]
        keys = {"first": keys[:1], "last": keys[-1:], "linear": keys}[model] or [None]
        for place, key in enumerate(keys):
            parts: list[Decimal] = []
            for whole in (Decimal(1), purchase.revenue):
                part = (whole / len(keys)).quantize(Decimal("0.000001"), ROUND_FLOOR)
                rest = whole - part * (len(keys) - 1)
                parts.append(rest if place == len(keys) - 1 else part)
            number, amount = found.get(key, (Decimal(), Decimal()))
            found[key] = number + parts[0], amount + parts[1]
    return found


def week_of(at: datetime, zone: ZoneInfo) -> date:
    """Return the Monday of a moment's week in a time zone."""
    day = at.astimezone(zone).date()
    return day - timedelta(days=day.weekday())


def start_of(at: datetime, interval: str) -> datetime:
    """Return the start of the interval that a moment lies in."""
    return at - timedelta(seconds=at.timestamp() % LENGTH[interval])


def utc(at: datetime) -> str:
    """Write a moment as answers do."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
