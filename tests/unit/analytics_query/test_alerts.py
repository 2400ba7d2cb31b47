"""Alerts: when they are judged, what is decided, what is said. No I/O."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from functions.analytics_query.alerts import message
from functions.analytics_query.alerts.figures import FIGURES, Value
from functions.analytics_query.alerts.judge import Seen, State, Times, Verdict, judge
from functions.analytics_query.alerts.rule import FigureRule, SummaryRule, shown_webhook
from functions.analytics_query.alerts.schedule import (
    Span,
    days_before,
    last_summary,
    last_whole,
    next_end,
    next_summary,
    summarized,
)
from functions.common.addresses import is_public, parse_address
from functions.common.paths import ROOT

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
DELAY = EARLY = timedelta(minutes=5)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def span(start: str, end: str) -> Span:
    return Span(at(start), at(end))


def rule(
    condition: Any = "below", value: str = "100", figure: str = "revenue", **more: Any
) -> FigureRule:
    return FigureRule(
        figure=figure, condition=condition, value=value, **{"interval": "day", **more}
    )


def judged(
    which: FigureRule, state: State, now: str, figures: dict[str, Any], zone: ZoneInfo = UTC_ZONE
) -> Verdict:
    """Judge with figures by the starts of their intervals; one that is not named is not known."""

    def read(asked: Span) -> Value:
        amount = figures.get(f"{asked.start.astimezone(zone):%Y-%m-%dT%H}")
        return Value(None if amount is None else Decimal(str(amount)))

    return judge(which, state, Times(at(now), zone, DELAY, EARLY), read)


def test_days_and_weeks_are_whole_where_clocks_change() -> None:
    spring, autumn = at("2026-03-30T01:00:00+02:00"), at("2026-10-26T01:00:00+01:00")
    assert last_whole(spring, "day", BERLIN) == span("2026-03-28T23:00Z", "2026-03-29T22:00Z")
    assert last_whole(autumn, "day", BERLIN) == span("2026-10-24T22:00Z", "2026-10-25T23:00Z")
    assert last_whole(autumn, "week", BERLIN) == span("2026-10-18T22:00Z", "2026-10-25T23:00Z")
    for day in range(1, 3):  # of 24, 25 and 23 hours
        for start in ("2026-10-24T22:00Z", "2026-10-25T23:00Z", "2026-03-28T23:00Z"):
            moment = at(start) + timedelta(hours=day)
            end = next_end(moment, "day", BERLIN)
            assert end.astimezone(BERLIN).hour == 0
            assert timedelta(0) < end - moment <= timedelta(hours=25)
    assert next_end(at("2026-10-25T12:00Z"), "week", BERLIN) == at("2026-10-25T23:00Z")
    assert next_end(at("2026-10-19T12:00Z"), "week", BERLIN) == at("2026-10-25T23:00Z")
    assert next_end(at("2026-10-25T00:10Z"), "hour", BERLIN) == at("2026-10-25T01:00Z")
    assert next_end(at("2026-10-25T01:10Z"), "hour", BERLIN) == at("2026-10-25T02:00Z")


def test_a_week_before_is_the_same_time_of_the_clock() -> None:
    day = span("2026-10-27T23:00Z", "2026-10-28T23:00Z")
    assert days_before(day, 7, BERLIN) == span("2026-10-20T22:00Z", "2026-10-21T22:00Z")
    long_day = span("2026-10-24T22:00Z", "2026-10-25T23:00Z")
    assert days_before(long_day, 7, BERLIN) == span("2026-10-17T22:00Z", "2026-10-18T22:00Z")
    hour = span("2026-10-28T09:00Z", "2026-10-28T10:00Z")
    assert days_before(hour, 7, BERLIN) == span("2026-10-21T08:00Z", "2026-10-21T09:00Z")
    # the hour that clocks had left out a week before is an hour all the same
    left_out = span("2026-04-05T00:00Z", "2026-04-05T01:00Z")
    assert days_before(left_out, 7, BERLIN) == span("2026-03-29T01:00Z", "2026-03-29T02:00Z")


@pytest.mark.parametrize(
    ("condition", "value", "figure", "now", "before", "holds"),
    [
        ("above", "100", "averageOrderValue", 100, None, False),
        ("above", "100", "averageOrderValue", "100.01", None, True),
        ("below", "100", "revenue", "99.99", None, True),
        ("below", "1", "events", 0, None, True),
        ("below", "100", "revenue", None, None, None),
        ("fallen", "30", "revenue", 70, 100, True),
        ("fallen", "30", "revenue", "70.01", 100, False),
        ("fallen", "30", "revenue", 0, 100, True),
        ("risen", "50", "purchases", 150, 100, True),
        ("risen", "50", "purchases", 149, 100, False),
        ("risen", "50", "purchases", 9, 0, None),
        ("fallen", "50", "purchases", 9, None, None),
        ("fallen", "2", "conversionRate", "0.10", "0.12", True),
        ("fallen", "2", "conversionRate", "0.101", "0.12", False),
        ("risen", "2", "conversionRate", "0.03", "0", True),
    ],
)
def test_conditions(
    condition: str, value: str, figure: str, now: Any, before: Any, holds: bool | None
) -> None:
    """Of rates in percentage points; from nothing no change in per cent is known."""
    verdict = judged(
        rule(condition, value, figure),
        State(),
        "2026-11-30T12:00Z",
        {"2026-11-29T00": now, "2026-11-22T00": before},
    )
    assert verdict.seen is not None
    assert verdict.seen.holds is holds
    assert verdict.event == ("fired" if holds else None)


def test_it_fires_once_and_recovers_once() -> None:
    """Whole intervals are judged once, after a delay; what is missed is not judged later."""
    which, figures = rule(), {"2026-11-28T00": 50, "2026-11-29T00": 40, "2026-12-02T00": 200}
    first = judged(which, State(), "2026-11-29T12:00Z", figures)
    assert (first.event, first.next_at) == ("fired", at("2026-11-30T00:05Z"))
    assert first.state == State(at("2026-11-28T00:00Z"), at("2026-11-29T12:00Z"))
    again = judged(which, first.state, "2026-11-29T13:00Z", figures)
    assert (again.event, again.seen, again.state) == (None, None, first.state)
    early = judged(which, first.state, "2026-11-30T00:04:59Z", figures)
    assert (early.seen, early.next_at) == (None, at("2026-11-30T00:05Z"))
    second = judged(which, first.state, "2026-11-30T00:05Z", figures)
    assert (second.event, second.state.firing_since) == (None, first.state.firing_since)
    third = judged(which, second.state, "2026-12-03T09:00Z", figures)
    assert (third.event, third.state) == ("recovered", State(at("2026-12-02T00:00Z"), None))


def test_what_is_not_known_changes_nothing_and_is_looked_at_again() -> None:
    firing = State(at("2026-11-28T00:00Z"), at("2026-11-29T00:05Z"))
    verdict = judged(rule(figure="spend"), firing, "2026-11-30T09:00Z", {})
    assert (verdict.event, verdict.state, verdict.next_at) == (
        None,
        firing,
        at("2026-11-30T10:00Z"),
    )
    later = judged(rule(figure="spend"), firing, "2026-11-30T10:00Z", {"2026-11-29T00": 500})
    assert later.event == "recovered"


def test_above_is_judged_before_the_end_where_a_figure_only_grows() -> None:
    which, figures = rule("above", interval="hour"), {"2026-11-30T10": 101, "2026-11-30T09": 1}
    calm = State(at("2026-11-30T09:00Z"), None)
    fired = judged(which, calm, "2026-11-30T10:20Z", figures)
    assert fired.event == "fired"
    assert fired.seen is not None
    assert not fired.seen.whole
    # it goes on until a whole hour is not above; that the next one is not yet says nothing
    assert judged(which, fired.state, "2026-11-30T10:40Z", figures).event is None
    over = judged(which, fired.state, "2026-11-30T11:05Z", figures)
    assert (over.event, over.state.judged) == (None, at("2026-11-30T10:00Z"))
    assert over.next_at == at("2026-11-30T11:10Z")
    figures["2026-11-30T11"] = 20
    assert judged(which, over.state, "2026-11-30T11:50Z", figures).event is None
    assert judged(which, over.state, "2026-11-30T12:05Z", figures).event == "recovered"
    # a rate may fall again
    rates = {"2026-11-30T10": "0.9", "2026-11-30T09": "0.1"}
    rate = rule("above", "0.5", "conversionRate", interval="hour")
    assert judged(rate, calm, "2026-11-30T10:20Z", rates).event is None


def test_summaries_come_at_an_hour_of_the_workspace() -> None:
    weekly = SummaryRule(weekday="monday", hour=8)
    now = at("2026-10-26T06:59Z")  # clocks were put back the day before
    assert next_summary(weekly, now, BERLIN) == at("2026-10-26T07:00Z")
    assert last_summary(weekly, now, BERLIN) == at("2026-10-19T06:00Z")
    sent = at("2026-10-26T07:00Z")
    assert last_summary(weekly, sent, BERLIN) == sent
    assert next_summary(weekly, sent, BERLIN) == at("2026-11-02T07:00Z")
    week, before = summarized(weekly, sent, BERLIN)
    assert week == span("2026-10-18T22:00Z", "2026-10-25T23:00Z")
    assert before == span("2026-10-11T22:00Z", "2026-10-18T22:00Z")
    daily = SummaryRule(every="day", hour=2)
    assert next_summary(daily, at("2026-03-28T12:00Z"), BERLIN) == at("2026-03-29T01:00Z")
    assert summarized(daily, at("2026-03-30T00:00Z"), BERLIN)[0] == (
        span("2026-03-28T23:00Z", "2026-03-29T22:00Z")
    )


def test_a_message_says_what_was_seen_in_words_and_for_programs() -> None:
    which = rule("fallen", "30", filters={"country": "DE", "eventType": "purchase"})
    seen = Seen(
        span("2026-11-28T23:00Z", "2026-11-29T23:00Z"),
        Value(Decimal("812.4")),
        Value(Decimal("1310.25")),
        holds=True,
        whole=True,
    )
    page = "https://universe.example/page/"
    made = message.of_event(
        "Less <b>", which, "fired", seen, zone=BERLIN, currency="EUR", page=page
    )
    text = message.plain_text(made)
    assert made.subject == "Alert: Less <b>"
    assert (
        "Revenue: 812.40 EUR on 29 November 2026 (Europe/Berlin), "
        "1,310.25 EUR a week before (-38.0 %)." in text
    )
    assert "The alert is for Revenue fallen by 30 % or more against a week before." in text
    assert "country=DE&filter=eventType%3Ais%3Apurchase" in made.link
    assert (made.data["value"], made.data["weekBefore"]) == ("812.4", "1310.25")
    summary = message.of_summary(
        "<Mondays>",
        SummaryRule(hour=8),
        seen.span,
        {
            "uniqueUsers": (Value(Decimal(1200), exact=False), Value(Decimal(1000))),
            "conversionRate": (Value(Decimal("0.12")), Value(Decimal("0.10"))),
            "spend": (Value(None), Value(None)),
        },
        zone=BERLIN,
        currency=None,
        page="",
    )
    text = message.plain_text(summary)
    assert "Unique users  ≈ 1,200  +20.0 %" in text
    assert "+2.0 pp" in text
    assert "Spend" not in text
    made_html = message.as_html(made)
    assert "<b>" not in made_html
    assert 'href="https://universe.example/page/?from=' in made_html


def test_figures_have_the_names_that_the_page_gives_them() -> None:
    definitions = (ROOT / "functions/analytics_query/page/lib/definitions.js").read_text()
    for name, figure in FIGURES.items():
        assert f"  {name}: {json.dumps([figure.title])[:-1]}, " in definitions, name


def test_only_what_is_public_of_a_webhook_is_shown() -> None:
    url = "https://hooks.example.com:8443/services/T0/secret?token=secret#secret"
    assert shown_webhook(url) == "https://hooks.example.com:8443/…"


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("100.64.0.1", False),
    ],
)
def test_addresses_of_ones_own_networks_are_not_public(text: str, public: bool) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_public(address) is public
