"""Splits a time range into the parts that rollups and events can answer.

A range consists of whole UTC days, whole hours before and after them, and partial hours at both
ends. The parts do not overlap and leave no gap, so their sums add up to the sums of the range.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Grain = Literal["day", "hour"]
TimeSpan = tuple[datetime, datetime]
"""Start (inclusive) and end (exclusive)."""
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

_EMPTY_SPAN: TimeSpan = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC))
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RangeParts:
    """The parts of a time range; every span is half-open and none is empty.

    Attributes:
        days: whole days.
        hours: whole hours, at most two spans.
        edges: partial hours, at most two spans.
    """

    days: TimeSpan | None
    hours: tuple[TimeSpan, ...]
    edges: tuple[TimeSpan, ...]

    @property
    def rest(self) -> tuple[TimeSpan, ...]:
        """Everything but the whole days: hours and edges, joined where they meet.

        Of a range that was split by day these are at most two spans, each within one day.
        """
        spans: list[TimeSpan] = []
        for start, end in sorted((*self.hours, *self.edges)):
            if spans and spans[-1][1] == start != _floor(start, DAY):
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return tuple(spans)

    def params(self) -> dict[str, Any]:
        """Return the parameters of `{{whole_days}}`, `{{whole_hours}}` and `{{event_edges}}`.

        `rest_*` are the parameters of statements that read hours and edges together from events.
        """
        hours = (*self.hours, _EMPTY_SPAN, _EMPTY_SPAN)
        edges = (*self.edges, _EMPTY_SPAN, _EMPTY_SPAN)
        rest = (*self.rest, _EMPTY_SPAN, _EMPTY_SPAN)
        return {
            "has_days": self.days is not None,
            "day_a": self.days and self.days[0].date(),
            "day_b": self.days and self.days[1].date(),
            "has_hours": bool(self.hours),
            "hour_a1": hours[0][0],
            "hour_b1": hours[0][1],
            "hour_a2": hours[1][0],
            "hour_b2": hours[1][1],
            "has_edges": bool(self.edges),
            "edge_a1": edges[0][0],
            "edge_b1": edges[0][1],
            "edge_a2": edges[1][0],
            "edge_b2": edges[1][1],
            "has_rest": bool(self.rest),
            "rest_a1": rest[0][0],
            "rest_b1": rest[0][1],
            "rest_a2": rest[1][0],
            "rest_b2": rest[1][1],
        }


def split_range(start: datetime | None, end: datetime | None, grain: Grain = "day") -> RangeParts:
    """Split a time range into whole days, whole hours and partial hours.

    Args:
        start: inclusive; None: from the beginning of time.
        end: exclusive; None: without an end.
        grain: the coarsest parts; with `hour` whole days are returned as hours.
    """
    start = max(start or _EARLIEST, _EARLIEST)
    end = min(end or _LATEST, _LATEST)
    days, remaining = _whole_units((start, end), DAY) if grain == "day" else (None, ((start, end),))
    hours: list[TimeSpan] = []
    edges: list[TimeSpan] = []
    for span in remaining:
        whole, partial = _whole_units(span, HOUR)
        hours += [whole] if whole else []
        edges += partial
    return RangeParts(days, tuple(hours), tuple(edges))


def _whole_units(span: TimeSpan, unit: timedelta) -> tuple[TimeSpan | None, tuple[TimeSpan, ...]]:
    """Return the whole units within a span, and the spans before and after them."""
    first = _floor(span[0] + unit - timedelta.resolution, unit)
    last = _floor(span[1], unit)
    if first > last:
        return None, _without_empty(span)
    whole = (first, last) if first < last else None
    return whole, _without_empty((span[0], first), (last, span[1]))


def _without_empty(*spans: TimeSpan) -> tuple[TimeSpan, ...]:
    return tuple(span for span in spans if span[0] < span[1])


def _floor(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - _EARLIEST) % unit
