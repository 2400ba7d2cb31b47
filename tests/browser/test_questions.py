"""The twelve questions of docs/analytics.md, each answered by clicking and equal to the events."""

import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from selenium.webdriver.support.ui import Select

from functions.common.paths import ROOT
from infra.cli.load.event_generator import Mix
from tests.support import oracle
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import (
    FACTS,
    NOW,
    card,
    check_totals,
    loaded,
    midnight,
    number,
    query_of,
    rows_of,
    total,
    visit,
    within,
)
from tests.support.net import wait_until
from tests.support.stored_events import generated, store

SETTINGS = {"ANALYTICS_WRITE_AUTH": "none"}
SOON = NOW + timedelta(minutes=5)


def money(text: str) -> Decimal:
    return Decimal(re.sub(r"[^\d.]", "", text))


def choose_range(page: Page, preset: str) -> None:
    page.one("#range").click()
    page.one(f"[data-preset='{preset}']").click()
    wait_until(lambda: query_of(page).get("range", "7d") == preset)
    loaded(page)


def sort_by(page: Page, name: str, column: str) -> None:
    page.one(card(name, f"[data-sort={column}]")).click()
    wait_until(lambda: page.all(card(name, f"[aria-sort] [data-sort={column}]")))


def test_the_page_for_analysts_lists_these_questions() -> None:
    text = (ROOT / "docs/analytics.md").read_text().partition("\n## Twelve questions\n")[2]
    listed = re.findall(r"^\d+\. \*\*(.+?)\*\*", text.partition("\n## ")[0], re.MULTILINE)
    module = sys.modules[__name__]
    asked = [
        " ".join((function.__doc__ or "").split())
        for name, function in vars(module).items()
        if re.match(r"test_\d\d_", name)
    ]
    assert listed == asked
    assert len(listed) == 12


@pytest.mark.slow
def test_01_revenue_of_last_week(page: Page, live: Analytics) -> None:
    """How much did we earn last week, and is that more than in the week before?"""
    visit(page, live)
    choose_range(page, "lastweek")
    monday = midnight(datetime.now(UTC).weekday() + 7)
    some = within(monday, monday + timedelta(days=7))
    before = within(monday - timedelta(days=7), monday)
    check_totals(page, some)
    change = page.one("[data-total=revenue] .change").text
    rose = oracle.amount(some) / oracle.amount(before) - 1
    shown = re.search(r"([\d.]+)%", change)
    assert shown
    assert abs(float(shown[1]) / 100 - abs(float(rose))) < 0.0006


@pytest.mark.slow
def test_02_today_until_now(page: Page, live: Analytics) -> None:
    """How is today going, compared with yesterday until the same time?"""
    visit(page, live)
    choose_range(page, "today")
    assert total(page, "events") == str(len(within(midnight(0), SOON)))
    change = page.one("[data-total=events] .change").text
    assert change.endswith("vs previous")
    asked = page.script(
        "return performance.getEntriesByType('resource').map(each => new URL(each.name))"
        ".filter(url => url.pathname.endsWith('/analytics/overview'))"
        ".map(url => [url.searchParams.get('from'), url.searchParams.get('to')])"
    )
    (start, end), (start_before, end_before) = [
        map(datetime.fromisoformat, of) for of in asked[-2:]
    ]
    assert (start_before, end_before) == (start - timedelta(days=1), end - timedelta(days=1))
    now, before = len(within(start, end)), len(within(start_before, end_before))
    shown = re.search(r"([\d.]+)%", change)
    assert bool(shown) == (before > 0)  # in the first minutes of a day
    assert not shown or abs(float(shown[1]) / 100 - abs(now - before) / before) < 0.0006

    def dashed() -> bool:
        if page.all("[data-total=events] .course-line.unfinished"):
            return True
        page.driver.refresh()  # the last interval ended while the page was drawn
        loaded(page)
        return False

    wait_until(dashed)


@pytest.mark.slow
def test_03_best_campaign_per_click(page: Page, live: Analytics) -> None:
    """Which campaign sells best per click?"""
    visit(page, live)
    choose_range(page, "30d")
    sort_by(page, "campaigns", "purchaseRate")
    some = [fact for fact in within(midnight(29), SOON) if fact.campaignId]
    rates = {
        name: oracle.purchases(of) / clicks
        for name, of in oracle.grouped(some, lambda fact: fact.campaignId).items()
        if (clicks := sum(fact.eventType.endswith(".click") for fact in of))
    }
    best = rows_of(page, "campaigns")[1]
    assert rates[best[0]] == max(rates.values())


@pytest.mark.slow
def test_04_best_country(page: Page, live: Analytics) -> None:
    """In which country do we earn most, and what do people do there?"""
    visit(page, live)
    choose_range(page, "30d")
    some = within(midnight(29), SOON)
    of = oracle.grouped((f for f in some if f.country), lambda fact: fact.country)
    page.one(card("countries", "[title='Show as a table']")).click()
    head, *rows = rows_of(page, "countries")
    place = head.index("Revenue")
    best = max(rows, key=lambda row: money(row[place]))
    code = max(of, key=lambda country: oracle.amount(of[country]))
    assert money(best[place]) == oracle.amount(of[code])
    names = page.all(card("countries", "tbody th button"))
    next(name for name in names if name.text == best[0]).click()
    wait_until(lambda: query_of(page).get("country") == code)
    loaded(page)
    check_totals(page, within(midnight(29), SOON, country=code))


@pytest.mark.slow
def test_05_how_many_come_to_the_click(page: Page, live: Analytics) -> None:
    """How many of the people who saw an ad clicked on one within a month?"""
    visit(page, live)
    choose_range(page, "30d")
    page.one("[data-view=funnels]").click()
    wait_until(lambda: page.all("#step-1"))
    for step, value in enumerate(("facebook:ad.view", "facebook:ad.click")):
        Select(page.one(f"#step-{step}")).select_by_value(value)
        wait_until(lambda value=value: value in query_of(page).get("steps", ""))
        loaded(page)
    Select(page.one("#window")).select_by_value("30d")
    wait_until(lambda: query_of(page).get("window") == "30d")
    loaded(page)
    expected = oracle.funnel_steps(
        within(midnight(29), SOON),
        [lambda fact: fact.eventType == "ad.view", lambda fact: fact.eventType == "ad.click"],
        timedelta(days=30),
        "none",
    )
    shown = page.texts(card("steps", ".steps li p:first-child span"))
    assert [number(text.split()[0]) for text in shown] == [
        sum(of) for of in zip(*expected.values(), strict=True)
    ]


@pytest.mark.slow
def test_06_who_comes_back(page: Page, live: Analytics) -> None:
    """Do people come back, week after week?"""
    visit(page, live)
    choose_range(page, "30d")
    page.one("[data-view=retention]").click()
    wait_until(lambda: page.texts(card("retention", ".heat tbody th")))
    loaded(page)
    question = {"from": oracle.utc(midnight(29)), "to": oracle.utc(SOON)}
    cohorts = oracle.cohorts(FACTS, question, "none", ZoneInfo("UTC"), "any")["all"]
    first, of = min(cohorts.items())
    row = next(
        row
        for row in rows_of(page, "retention")
        if row[0] == f"{first:%b} {first.day}, {first.year}"
    )
    assert number(row[1]) == of[first]
    again = of.get(first + timedelta(days=7), 0) / of[first]
    assert abs(float(row[3].rstrip("%")) - 100 * again) <= 0.051


@pytest.mark.slow
def test_07_who_buys_by_age(page: Page, live: Analytics) -> None:
    """How old are the people on Facebook who spend most?"""
    visit(page, live)
    choose_range(page, "30d")
    Select(page.one("#source")).select_by_value("facebook")
    wait_until(lambda: query_of(page).get("source") == "facebook")
    loaded(page)
    page.one(card("audience", "[title='Show as a table']")).click()
    head, *rows = rows_of(page, "audience")
    revenue = {
        row[head.index("Value")]: money(row[head.index("Revenue")])
        for row in rows
        if row[head.index("Dimension")] == "Age"
    }
    some = within(midnight(29), SOON, source="facebook")
    ages = {age for fact in some for name, age in fact.groups if name == "ageGroup"}
    assert revenue == {
        age: oracle.amount(f for f in some if ("ageGroup", age) in f.groups) for age in ages
    }


@pytest.mark.slow
def test_08_which_week_was_best(page: Page, live: Analytics) -> None:
    """Which week brought the most revenue?"""
    visit(page, live)
    choose_range(page, "30d")
    Select(page.one("#interval")).select_by_value("week")
    wait_until(lambda: query_of(page).get("interval") == "week")
    loaded(page)
    page.one(card("revenue-over-time", "[title='Show as a table']")).click()
    head, *rows = rows_of(page, "revenue-over-time")
    shown = [money(row[head.index("Revenue")]) for row in rows]
    weeks = oracle.grouped(
        within(midnight(29), SOON), lambda fact: oracle.week_of(fact.at, ZoneInfo("UTC"))
    )
    assert max(shown) == max(map(oracle.amount, weeks.values()))


@pytest.mark.slow
def test_09_devices_of_buyers(page: Page, live: Analytics) -> None:
    """On which devices do people buy, and what happens on the best of them?"""
    visit(page, live)
    choose_range(page, "30d")
    Select(page.one("#breakdown-by")).select_by_value("device")
    loaded(page)
    of: dict[str, list[oracle.Fact]] = {}
    for fact in within(midnight(29), SOON):
        for device in [value for name, value in fact.groups if name == "device"]:
            of.setdefault(device, []).append(fact)
    wait_until(lambda: set(of) <= {row[0] for row in rows_of(page, "breakdown")[1:]})
    head, *rows = rows_of(page, "breakdown")
    place = head.index("Revenue")
    revenue = {row[0]: money(row[place]) for row in rows}
    assert {device: revenue[device] for device in of} == {
        device: oracle.amount(some) for device, some in of.items()
    }
    best = max(of, key=lambda device: oracle.amount(of[device]))
    page.one(card("breakdown", f"tbody button[data-value='{best}']")).click()
    wait_until(lambda: query_of(page).get("filter") == f"device:is:{best}")
    loaded(page)
    check_totals(page, of[best])


@pytest.mark.slow
def test_10_what_one_person_did(page: Page, live: Analytics) -> None:
    """Who are our best customers, and what did one of them do before buying?"""
    visit(page, live)
    choose_range(page, "30d")
    page.one("[data-view=events]").click()
    wait_until(lambda: page.all("#explorer-people tbody tr"))
    loaded(page)
    page.one("#filter-by").send_keys("data.engagement.purchaseAmount")
    Select(page.one("#filter-operator")).select_by_visible_text("is told")
    page.one("#filter-add").click()
    wait_until(lambda: query_of(page).get("filter") == "data.engagement.purchaseAmount:isSet")
    loaded(page)
    bought = [fact for fact in within(midnight(29), SOON) if fact.revenue is not None]
    of_user = oracle.grouped(bought, lambda fact: fact.userId)
    user = page.texts("#explorer-people tbody th button")[0]
    assert len(of_user[user]) == max(map(len, of_user.values()))
    page.one("#explorer-people tbody th button").click()
    did = [fact for fact in FACTS if fact.userId == user]
    shown = f"{oracle.purchases(did):,} purchases, {oracle.amount(did):,.2f}"

    def all_is_listed() -> bool:
        page.script(
            "document.querySelector('#drawer > p button:not([hidden], :disabled)')?.click()"
        )
        return shown in page.one("#person-sums").text

    wait_until(all_is_listed)
    assert page.all("#drawer .timeline button")


@pytest.mark.slow
def test_11_cost_of_a_purchase(page: Page, live: Analytics, tmp_path: Path) -> None:
    """What does a purchase cost on a campaign, and what does it bring back?"""
    some = [fact for fact in within(midnight(6), SOON) if fact.campaignId]
    of = oracle.grouped(some, lambda fact: fact.campaignId)
    campaign = max(of, key=lambda name: oracle.purchases(of[name]))
    file = tmp_path / "spend.csv"
    days = [midnight(day).date() for day in range(7)]
    lines = [f"{day},facebook,{campaign},12.00" for day in days]
    file.write_text("\n".join(["date,source,campaignId,amount", *lines, ""]))
    visit(page, live)
    page.one("[data-view=costs]").click()
    wait_until(lambda: len(rows_of(page, "costs")) > 1)
    loaded(page)
    page.one("#spend summary").click()
    wait_until(lambda: page.all("#spend-file"))
    page.one("#spend-file").send_keys(str(file))
    wait_until(lambda: page.all("#spend-take"))
    page.one("#spend-take").click()
    wait_until(lambda: "Imported spend.csv: 7 new." in " ".join(page.texts("#spend-said")))
    loaded(page)
    head, *rows = rows_of(page, "costs")
    [row] = [row for row in rows if row[0].startswith(campaign)]
    figures = dict(zip((title.split("\n")[0] for title in head), row, strict=True))
    spent, purchases = Decimal(7 * 12), oracle.purchases(of[campaign])
    assert money(figures["Cost per purchase"]) == (spent / purchases).quantize(Decimal("0.01"))
    assert figures["Return on spend"].split()[0] == f"{oracle.amount(of[campaign]) / spent:.2f}"


@pytest.mark.slow
def test_12_what_happens_now(page: Page, live: Analytics) -> None:
    """What happens right now?"""
    [event] = generated(1, seed=7, mix=Mix(days=0.001, shuffled=1), until=datetime.now(UTC))
    store(live.owner_url, [event])
    FACTS.extend(oracle.facts([event]))
    visit(page, live)
    fresh = datetime.now(UTC) - timedelta(minutes=5)
    wait_until(
        lambda: page.script("return document.querySelector('#now').dataset.events ?? ''") != ""
    )
    shown = int(page.script("return document.querySelector('#now').dataset.events"))
    # minutes pass while the page is read
    end = datetime.now(UTC) + timedelta(minutes=1)
    few, many = (len(within(fresh + timedelta(minutes=late), end)) for late in (1, -1))
    assert 1 <= few <= shown <= many
    assert "in the last 5 minutes" in page.one("#now").text
