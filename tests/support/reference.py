"""What the reports should say, computed in plain Python from the events that were sent."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Event = dict[str, Any]


@dataclass
class Sums:
    """How many events, and what they brought in."""

    events: int = 0
    revenue: Decimal = Decimal(0)

    def add(self, event: Event) -> None:
        """Count an event."""
        self.events += 1
        self.revenue += revenue_of(event)


@dataclass
class Reference:
    """The figures of a set of events in which each counts once."""

    total: Sums = field(default_factory=Sums)
    by_source: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    by_type: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    by_stage: Counter[str] = field(default_factory=Counter)
    by_source_stage: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_country: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    by_hour: dict[datetime, Sums] = field(default_factory=lambda: defaultdict(Sums))
    users: set[tuple[str, str]] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None


def occurred(event: Event) -> datetime:
    """Return the time of an event in UTC."""
    return datetime.fromisoformat(event["timestamp"]).astimezone(UTC)


def revenue_of(event: Event) -> Decimal:
    """Return what an event brought in."""
    return Decimal(event["data"]["engagement"].get("purchaseAmount") or 0)


def country_of(event: Event) -> str | None:
    """Return the country of an event, where it has one."""
    if event["source"] == "facebook":
        return event["data"]["user"]["location"]["country"]
    return event["data"]["engagement"].get("country")


def reference(events: Iterable[Event]) -> Reference:
    """Compute the figures; of events with the same id and day the first counts."""
    found = Reference()
    seen: set[tuple[str, str]] = set()
    for event in events:
        at = occurred(event)
        key = event["eventId"], at.date().isoformat()
        if key in seen:
            continue
        seen.add(key)
        found.total.add(event)
        found.by_source[event["source"]].add(event)
        found.by_type[event["source"], event["eventType"]].add(event)
        found.by_stage[event["funnelStage"]] += 1
        found.by_source_stage[event["source"], event["funnelStage"]] += 1
        found.by_hour[at.replace(minute=0, second=0, microsecond=0)].add(event)
        found.users.add((event["source"], event["data"]["user"]["userId"]))
        country = country_of(event)
        if country is not None:
            found.by_country[country].add(event)
        found.first = min(found.first or at, at)
        found.last = max(found.last or at, at)
    return found
