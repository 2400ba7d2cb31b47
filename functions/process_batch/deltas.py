"""What a batch adds to the rollups, as text for COPY into `rollup_deltas`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from .rows import EventRow

COLUMNS = (
    "hour, source, funnel_stage, event_type, country, campaign_id, events, purchases, revenue, "
    "first_at, last_at, users, groups, group_events, group_revenue"
)
"""The order of the columns in a delta's text."""
COPY_DELTAS = f"COPY rollup_deltas ({COLUMNS}) FROM STDIN"
"""Takes the lines of `delta_lines`."""


@dataclass(slots=True)
class _Delta:
    first_at: str
    last_at: str
    events: int = 0
    purchases: int = 0
    revenue: Decimal = Decimal(0)
    users: list[str] = field(default_factory=list[str])
    groups: list[str] = field(default_factory=list[str])
    group_revenue: dict[str, Decimal] | None = None


def delta_lines(rows: list[EventRow]) -> Iterator[str]:
    """Yield a line for each hour, source, stage, type, country and campaign among the rows."""
    sums: dict[str, _Delta] = {}
    for _, _, _, _, key, occurred_at, user, groups, revenue in rows:
        delta = sums.get(key)
        if delta is None:
            delta = sums[key] = _Delta(occurred_at, occurred_at)
        elif occurred_at < delta.first_at:
            delta.first_at = occurred_at
        elif occurred_at > delta.last_at:
            delta.last_at = occurred_at
        delta.events += 1
        delta.users.append(user)
        delta.groups += groups
        if revenue is not None:
            _add_revenue(delta, revenue, groups)
    for key, delta in sums.items():
        yield _line(key, delta)


def _add_revenue(delta: _Delta, revenue: Decimal, groups: tuple[str, ...]) -> None:
    delta.purchases += 1
    delta.revenue += revenue
    by_group = delta.group_revenue
    if by_group is None:
        by_group = delta.group_revenue = {}
    for group in groups:
        by_group[group] = by_group.get(group, 0) + revenue


def _line(key: str, delta: _Delta) -> str:
    if delta.events == 1:
        users, groups = delta.users, delta.groups
        group_events = ",".join("1" * len(groups))
    else:
        users = dict.fromkeys(delta.users)
        counts = Counter(delta.groups)
        groups = list(counts)
        group_events = ",".join(map(str, counts.values()))
    if delta.group_revenue is None:
        group_revenue = "\\N"
    else:
        by_group = delta.group_revenue
        group_revenue = f"{{{','.join([str(by_group.get(group, 0)) for group in groups])}}}"
    return (
        f"{key}\t{delta.events}\t{delta.purchases}\t{delta.revenue}\t"
        f"{delta.first_at}\t{delta.last_at}\t{{{','.join(users)}}}\t"
        f"{{{','.join(groups)}}}\t{{{group_events}}}\t{group_revenue}\n"
    )
