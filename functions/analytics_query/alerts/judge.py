"""Decides about alerts: what holds, what has changed, when to look again. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from .figures import FIGURES, Unit, Value
from .rule import COMPARED, FigureRule
from .schedule import WEEK, Span, days_before, last_whole, next_end, unfinished

Event = Literal["fired", "recovered"]
UNKNOWN_AGAIN = timedelta(hours=1)
"""After so long an interval is looked at again whose figure was not known, such as spend."""


@dataclass(frozen=True)
class State:
    """How an alert stands: the start of the last whole interval judged, and since when it fires."""

    judged: datetime | None = None
    firing_since: datetime | None = None


@dataclass(frozen=True)
class Seen:
    """A figure of an interval; `before`: a week before, where that is compared; else None.

    `holds` is whether the condition does; None: that cannot be known.
    """

    span: Span
    value: Value
    before: Value | None
    holds: bool | None
    whole: bool


@dataclass(frozen=True)
class Verdict:
    """What follows.

    Attributes:
        state: how the alert stands now.
        seen: what was looked at and decided; None: nothing was due.
        event: what people are told; None: nothing.
        next_at: when to look again.
    """

    state: State
    seen: Seen | None
    event: Event | None
    next_at: datetime


@dataclass(frozen=True)
class Times:
    """What time it is and how it is counted.

    Attributes:
        now: the present.
        zone: of the workspace.
        delay: how long after its end an interval is judged, for events that come late.
        early: how often an interval that goes on is looked at.
    """

    now: datetime
    zone: ZoneInfo
    delay: timedelta
    early: timedelta


Read = Callable[[Span], Value]


def change(value: Decimal, before: Decimal, unit: Unit) -> Decimal | None:
    """Return a change in per cent, that of a rate in percentage points; None: from nothing."""
    if unit == "rate":
        return (value - before) * 100
    return (value - before) / before * 100 if before else None


def holds(rule: FigureRule, value: Decimal | None, before: Decimal | None) -> bool | None:
    """Return whether the condition of a rule does; None: that cannot be known."""
    if value is None:
        return None
    if rule.condition == "above":
        return value > rule.limit
    if rule.condition == "below":
        return value < rule.limit
    changed = None if before is None else change(value, before, FIGURES[rule.figure].unit)
    if changed is None:
        return None
    return changed >= rule.limit if rule.condition == "risen" else -changed >= rule.limit


def judge(rule: FigureRule, state: State, times: Times, read: Read) -> Verdict:
    """Judge an alert.

    The last whole interval is judged once. One that goes on is judged where it can only grow above
    the limit; that it is not there yet says nothing. What cannot be known changes nothing.

    Args:
        rule: what is watched.
        state: how it stands.
        times: the present.
        read: returns the figure of a time range.
    """
    firing = state.firing_since is not None
    judged, decisive, again = state.judged, None, None
    whole = last_whole(times.now - times.delay, rule.interval, times.zone)
    if judged is None or judged < whole.start:
        decisive = _look(rule, whole, times, read, whole=True)
        if decisive.holds is None:
            again = times.now + UNKNOWN_AGAIN
        else:
            firing, judged = decisive.holds, whole.start
    early = rule.condition == "above" and FIGURES[rule.figure].grows
    if early:
        span = unfinished(times.now, rule.interval, times.zone)
        seen = _look(rule, span, times, read, whole=False)
        if seen.holds:
            firing, decisive = True, seen
        again = times.now + times.early
    end = next_end(times.now - times.delay, rule.interval, times.zone) + times.delay
    event: Event | None = None
    if firing != (state.firing_since is not None):
        event = "fired" if firing else "recovered"
    since = (state.firing_since or times.now) if firing else None
    return Verdict(State(judged, since), decisive, event, min(end, again or end))


def _look(rule: FigureRule, span: Span, times: Times, read: Read, *, whole: bool) -> Seen:
    value = read(span)
    before = None
    if rule.condition in COMPARED:
        before = read(days_before(span, WEEK.days, times.zone))
    return Seen(span, value, before, holds(rule, value.amount, before and before.amount), whole)
