"""When alerts are judged and summaries sent, in the time zone of the workspace."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ..query.intervals import start_of_interval
from .rule import Interval, SummaryRule

WEEK = timedelta(days=7)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Span:
    """A time range in UTC: its start (inclusive) and end (exclusive)."""

    start: datetime
    end: datetime


def last_whole(now: datetime, interval: Interval, zone: ZoneInfo) -> Span:
    """Return the last interval that is over."""
    end = start_of_interval(now, interval, zone)
    return Span(start_of_interval(end - timedelta.resolution, interval, zone), end)


def unfinished(now: datetime, interval: Interval, zone: ZoneInfo) -> Span:
    """Return the interval that goes on, until now."""
    return Span(start_of_interval(now, interval, zone), now)


def next_end(now: datetime, interval: Interval, zone: ZoneInfo) -> datetime:
    """Return when the interval that goes on will be over."""
    # longer than any of them, with an hour that clocks are put back
    longest = {"hour": timedelta(hours=1), "day": timedelta(hours=25), "week": WEEK}[interval]
    start = start_of_interval(now, interval, zone)
    following = start_of_interval(start + longest, interval, zone)
    return following if following > now else start_of_interval(
        start + longest + timedelta(hours=1), interval, zone
    )  # fmt: skip


def days_before(span: Span, days: int, zone: ZoneInfo) -> Span:
    """Return the same hours, days or week so many days before, by the clocks of a zone."""
    start = _days_before(span.start, days, zone)
    if span.end - span.start <= timedelta(hours=1):
        # an hour is one, also where clocks were changed in it then
        return Span(start, start + (span.end - span.start))
    return Span(start, _days_before(span.end, days, zone))


def _days_before(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    return (moment.astimezone(zone) - timedelta(days=days)).astimezone(UTC)


def last_summary(rule: SummaryRule, now: datetime, zone: ZoneInfo) -> datetime:
    """Return when a summary was to be sent last, at or before now."""
    local = now.astimezone(zone)
    days = 0
    while True:
        at = _at(rule, local - timedelta(days=days), zone)
        if at <= now and _is_its_day(rule, at, zone):
            return at
        days += 1


def next_summary(rule: SummaryRule, now: datetime, zone: ZoneInfo) -> datetime:
    """Return when a summary is to be sent next, after now."""
    local = now.astimezone(zone)
    days = 0
    while True:
        at = _at(rule, local + timedelta(days=days), zone)
        if at > now and _is_its_day(rule, at, zone):
            return at
        days += 1


def _at(rule: SummaryRule, day: datetime, zone: ZoneInfo) -> datetime:
    # an hour that is left out as clocks are put forward is the one after it
    return datetime(day.year, day.month, day.day, rule.hour, tzinfo=zone).astimezone(UTC)


def _is_its_day(rule: SummaryRule, at: datetime, zone: ZoneInfo) -> bool:
    return rule.every == "day" or WEEKDAYS[at.astimezone(zone).weekday()] == rule.weekday


def summarized(rule: SummaryRule, at: datetime, zone: ZoneInfo) -> tuple[Span, Span]:
    """Return what a summary of a time is about: whole days before it, and those before them."""
    days = 1 if rule.every == "day" else 7
    end = start_of_interval(at, "day", zone)
    span = Span(_days_before(end, days, zone), end)
    return span, days_before(span, days, zone)
