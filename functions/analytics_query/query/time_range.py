"""How a range is cut into what the rollups hold.

A range consists of whole UTC days, whole hours left at both ends, and parts of hours left at both
ends of those. The pieces do not overlap and leave nothing out, so their sums are the range's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Grain = Literal["day", "hour"]
Span = tuple[datetime, datetime]
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

_NEVER: Span = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC))
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pieces:
    """The parts of a range; every span is half-open and none is empty.

    Attributes:
        days: whole days.
        hours: whole hours, at most two spans.
        edges: parts of hours, at most two spans.
    """

    days: Span | None
    hours: tuple[Span, ...]
    edges: tuple[Span, ...]

    @property
    def rest(self) -> tuple[Span, ...]:
        """What is not whole days; of a range cut into days at most two spans, each within a day."""
        spans: list[Span] = []
        for start, end in sorted((*self.hours, *self.edges)):
            if spans and spans[-1][1] == start != _floor(start, DAY):
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return tuple(spans)

    def params(self) -> dict[str, Any]:
        """Return what `{{whole_days}}`, `{{whole_hours}}` and `{{event_edges}}` take.

        `rest` is hours and edges together.
        """
        hours = (*self.hours, _NEVER, _NEVER)
        edges = (*self.edges, _NEVER, _NEVER)
        rest = (*self.rest, _NEVER, _NEVER)
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


def cut(start: datetime | None, end: datetime | None, grain: Grain = "day") -> Pieces:
    """Cut the range from `start` to `end` (None: without bound).

    Args:
        grain: the coarsest pieces wanted; with `hour` there are no days.
    """
    start = max(start or _FIRST, _FIRST)
    end = min(end or _LAST, _LAST)
    days, rest = _whole((start, end), DAY) if grain == "day" else (None, ((start, end),))
    hours: list[Span] = []
    edges: list[Span] = []
    for span in rest:
        whole, parts = _whole(span, HOUR)
        hours += [whole] if whole else []
        edges += parts
    return Pieces(days, tuple(hours), tuple(edges))


def _whole(span: Span, unit: timedelta) -> tuple[Span | None, tuple[Span, ...]]:
    """Return the whole units within a span, and what is left of it."""
    first = _floor(span[0] + unit - timedelta.resolution, unit)
    last = _floor(span[1], unit)
    if first > last:
        return None, _not_empty(span)
    whole = (first, last) if first < last else None
    return whole, _not_empty((span[0], first), (last, span[1]))


def _not_empty(*spans: Span) -> tuple[Span, ...]:
    return tuple(span for span in spans if span[0] < span[1])


def _floor(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - _FIRST) % unit
