"""What a batch adds to the rollups, as text for COPY into `rollup_deltas`."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain

from .rows import NULL, EventRow

COLUMNS = (
    "hour, source, funnel_stage, event_type, country, campaign_id, events, purchases, revenue, "
    "first_at, last_at, users, groups, group_events, group_revenue"
)
"""The order of the columns in a delta's text."""
COPY_DELTAS = f"COPY rollup_deltas ({COLUMNS}) FROM STDIN"
"""Takes the lines of `delta_lines`."""


def delta_lines(rows: list[EventRow]) -> Iterator[str]:
    """Yield a line for each hour, source, stage, type, country and campaign among the rows."""
    by_key: dict[str, list[EventRow]] = {}
    for row in rows:
        of_key = by_key.get(row.rollup_key)
        if of_key is None:
            by_key[row.rollup_key] = [row]
        else:
            of_key.append(row)
    for key, of_key in by_key.items():
        yield _line(key, of_key) if len(of_key) > 1 else _line_of_one(of_key[0])


def _line_of_one(row: EventRow) -> str:
    _, _, _, _, key, occurred_at, user, groups, revenue = row
    if revenue is None:
        sums = "1\t0\t0"
        group_revenue = NULL
    else:
        sums = f"1\t1\t{revenue}"
        group_revenue = f"{{{','.join([str(revenue)] * len(groups))}}}"
    return (
        f"{key}\t{sums}\t{occurred_at}\t{occurred_at}\t{{{user}}}\t"
        f"{{{','.join(groups)}}}\t{{{','.join('1' * len(groups))}}}\t{group_revenue}\n"
    )


def _line(key: str, rows: list[EventRow]) -> str:
    _, _, _, _, _, times, users, groups, revenues = zip(*rows, strict=True)
    counts = Counter(chain.from_iterable(groups))
    purchases = len(rows) - revenues.count(None)
    revenue, group_revenue = Decimal(0), NULL
    if purchases:
        by_group: dict[str, Decimal] = {}
        for amount, of_event in zip(revenues, groups, strict=True):
            if amount is not None:
                revenue += amount
                for group in of_event:
                    by_group[group] = by_group.get(group, 0) + amount
        group_revenue = f"{{{','.join([str(by_group.get(group, 0)) for group in counts])}}}"
    return (
        f"{key}\t{len(rows)}\t{purchases}\t{revenue}\t{min(times)}\t{max(times)}\t"
        f"{{{','.join(dict.fromkeys(users))}}}\t"
        f"{{{','.join(counts)}}}\t{{{','.join(map(str, counts.values()))}}}\t{group_revenue}\n"
    )
