"""What people are told: a subject, sentences, a small table, and a document for programs."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from ..formatting import format_time
from .figures import FIGURES, Unit, Value
from .judge import Event, Seen, change
from .rule import COMPARED, FigureRule, Interval, SummaryRule
from .schedule import Span

SUBJECTS: dict[Event, str] = {"fired": "Alert", "recovered": "Recovered"}
_PAGE_NAMES = {"source": "source", "country": "country", "campaignId": "campaign"}


@dataclass(frozen=True)
class Row:
    """A figure of a summary, in words: its value, and its change against the time before."""

    title: str
    value: str
    change: str


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        kind: fired, recovered, summary, test.
        subject: one line.
        sentences: what there is to say.
        rows: figures, of a summary.
        link: to the dashboard; empty: there is no address of it.
        data: further members of the document for programs.
    """

    kind: str
    subject: str
    sentences: Sequence[str]
    rows: Sequence[Row] = ()
    link: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def in_words(value: Value | None, unit: Unit, currency: str | None) -> str:
    """Return a figure as people read it; or that it is not known."""
    if value is None or value.amount is None:
        return "not known"
    return ("" if value.exact else "≈ ") + _amount(value.amount, unit, currency)


def _amount(amount: Decimal, unit: Unit, currency: str | None) -> str:
    if unit == "rate":
        return f"{_rounded(amount * 100, 2)} %"
    if unit == "count":
        return f"{amount:,.0f}"
    text = f"{_rounded(amount, 2):,}"
    return f"{text} {currency}" if unit == "money" and currency else text


def _rounded(amount: Decimal, places: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)


def change_in_words(value: Value, before: Value, unit: Unit) -> str:
    """Return the change of a figure with its sign; empty where it cannot be known."""
    if value.amount is None or before.amount is None:
        return ""
    changed = change(value.amount, before.amount, unit)
    if changed is None:
        return ""
    return f"{_rounded(changed, 1):+} {'pp' if unit == 'rate' else '%'}"


def condition_in_words(rule: FigureRule, currency: str | None) -> str:
    """Return what a rule asks for."""
    unit = FIGURES[rule.figure].unit
    if rule.condition not in COMPARED:
        return f"{rule.condition} {_amount(rule.limit, unit, currency)}"
    by = "percentage points" if unit == "rate" else "%"
    return f"{rule.condition} by {rule.limit.normalize():f} {by} or more against a week before"


def span_in_words(span: Span, interval: Interval, zone: ZoneInfo) -> str:
    """Return an interval, with its time zone."""
    start, end = span.start.astimezone(zone), span.end.astimezone(zone)
    day = _day(start)
    if interval == "week":
        return f"in the week from {day} ({zone.key})"
    if interval == "day":
        return f"on {day} ({zone.key})"
    return f"on {day}, {start:%H:%M} to {end:%H:%M} ({zone.key})"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def filters_in_words(filters: Mapping[str, Any]) -> str:
    """Return filters in one line; empty for none."""
    return ", ".join(
        f"{name} {each}"
        for name, value in filters.items()
        for each in (value if isinstance(value, list) else [value])  # type: ignore[misc]
    )


def seen_in_words(rule: FigureRule, seen: Seen, zone: ZoneInfo, currency: str | None) -> str:
    """Return what was looked at, in one sentence."""
    figure = FIGURES[rule.figure]
    so_far = "" if seen.whole else " so far"
    text = f"{figure.title}: {in_words(seen.value, figure.unit, currency)}{so_far} " + (
        span_in_words(seen.span, rule.interval, zone)
    )
    if seen.before is not None:
        text += f", {in_words(seen.before, figure.unit, currency)} a week before"
        if changed := change_in_words(seen.value, seen.before, figure.unit):
            text += f" ({changed})"
    return text + "."


def of_event(
    name: str,
    rule: FigureRule,
    event: Event,
    seen: Seen,
    *,
    zone: ZoneInfo,
    currency: str | None,
    page: str,
) -> Message:
    """Return the message that an alert fires, or does not any more."""
    filters = filters_in_words(rule.filters)
    sentences = [
        seen_in_words(rule, seen, zone, currency),
        f"The alert is for {FIGURES[rule.figure].title} {condition_in_words(rule, currency)}.",
        *([f"Of: {filters}."] if filters else []),
    ]
    amount, before = seen.value.amount, seen.before and seen.before.amount
    return Message(
        event,
        f"{SUBJECTS[event]}: {name}",
        sentences,
        link=_link(page, rule.filters, seen.span),
        data={
            "rule": {
                "figure": rule.figure,
                "interval": rule.interval,
                "condition": rule.condition,
                "value": rule.value,
                "filters": rule.filters,
            },
            "from": format_time(seen.span.start),
            "to": format_time(seen.span.end),
            "whole": seen.whole,
            "value": None if amount is None else f"{amount:f}",
            "weekBefore": None if before is None else f"{before:f}",
            "exact": seen.value.exact,
        },
    )


def of_summary(
    name: str,
    rule: SummaryRule,
    span: Span,
    figures: Mapping[str, tuple[Value, Value]],
    *,
    zone: ZoneInfo,
    currency: str | None,
    page: str,
) -> Message:
    """Return the message of a summary; `figures`: each, and what it was before."""
    start, end = span.start.astimezone(zone), span.end.astimezone(zone) - timedelta.resolution
    days = _day(start) if rule.every == "day" else f"{_day(start)} to {_day(end)}"
    filters = filters_in_words(rule.filters)
    known = {each: both for each, both in figures.items() if both[0].amount is not None}
    return Message(
        "summary",
        f"{name}: {days}",
        [
            f"The figures of {days} ({zone.key}), with the change against the "
            f"{'day' if rule.every == 'day' else 'seven days'} before.",
            *([f"Of: {filters}."] if filters else []),
        ],
        [
            Row(
                FIGURES[each].title,
                in_words(value, FIGURES[each].unit, currency),
                change_in_words(value, before, FIGURES[each].unit),
            )
            for each, (value, before) in known.items()
        ],
        _link(page, rule.filters, span),
        {
            "from": format_time(span.start),
            "to": format_time(span.end),
            "figures": {
                each: {
                    "value": f"{value.amount:f}",
                    "before": None if before.amount is None else f"{before.amount:f}",
                    "exact": value.exact,
                }
                for each, (value, before) in known.items()
            },
        },
    )


def of_test(name: str, page: str) -> Message:
    """Return a message that says that it is none."""
    return Message(
        "test",
        f"Test: {name}",
        ["This is a test. Messages of this alert come here."],
        link=page,
    )


def _link(page: str, filters: Mapping[str, Any], span: Span) -> str:
    """Return the address of the dashboard with the filters and the time range."""
    if not page:
        return ""
    query: list[tuple[str, str]] = [
        ("from", format_time(span.start)),
        ("to", format_time(span.end)),
    ]
    for name, value in filters.items():
        if name in _PAGE_NAMES:
            query.append((_PAGE_NAMES[name], value))
        elif name == "filter":
            query += [("filter", each) for each in value]
        else:
            query.append(("filter", f"{name}:is:{value}"))
    return f"{page}?{urlencode(query)}"


def plain_text(message: Message) -> str:
    """Return the text of an e-mail."""
    lines = list(message.sentences)
    if message.rows:
        title, value, _ = (
            max(len(getattr(row, part)) for row in message.rows)
            for part in ("title", "value", "change")
        )
        lines += ["", *(f"{row.title:<{title}}  {row.value:>{value}}  {row.change}".rstrip()
                        for row in message.rows)]  # fmt: skip
    return "\n".join([*lines, *(["", message.link] if message.link else []), ""])


def as_html(message: Message) -> str:
    """Return the HTML of an e-mail; it loads nothing from anywhere."""
    parts = [f"<p>{html.escape(each)}</p>" for each in message.sentences]
    if message.rows:
        right = ' style="text-align:right;padding-left:1.5em"'
        cells = "".join(
            f"<tr><td>{html.escape(row.title)}</td><td{right}>{html.escape(row.value)}</td>"
            f"<td{right}>{html.escape(row.change)}</td></tr>"
            for row in message.rows
        )
        parts.append(f"<table>{cells}</table>")
    if message.link:
        parts.append(f'<p><a href="{html.escape(message.link)}">Open the dashboard</a></p>')
    return f'<html><body style="font-family:sans-serif">{"".join(parts)}</body></html>'
