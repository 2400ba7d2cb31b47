"""The dashboard in a browser: what it shows, how it is used, what it survives."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from functions.analytics_query.reports import REPORTS
from functions.analytics_query.workspace import WRITES
from infra.cli.load.event_generator import Mix
from infra.database.migrate import migrate
from infra.local.servers.postgres import READER, EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import HANDLER, Analytics, analytics
from tests.support.browser import Page
from tests.support.dashboard import (
    EVENTS,
    FACTS,
    NOW,
    card,
    check_totals,
    loaded,
    midnight,
    number,
    query_of,
    rows_of,
    shows,
    total,
    visit,
    within,
)
from tests.support.functions import running
from tests.support.net import wait_until
from tests.support.oracle import Fact
from tests.support.prefix_proxy import mounted
from tests.support.secrets import secrets_folder
from tests.support.stored_events import compact_deltas, generated, store

DASH = "\u2013"
UTC_ZONE = ZoneInfo("UTC")
SOON = NOW + timedelta(minutes=5)
CARDS = ("events-over-time", "funnel", "revenue-over-time", "countries", "campaigns", "audience")


def test_every_number_equals_the_events(page: Page, live: Analytics) -> None:
    visit(page, live)
    some = within(midnight(6), NOW + timedelta(minutes=2))
    check_totals(page, some)

    top, bottom = oracle.stages(some)
    subtitle = page.one(card("events-over-time", "[data-sub]")).text
    assert subtitle.startswith(f"{len(some):,} events")
    funnel = page.one(card("funnel", ".chart")).get_attribute("aria-label")
    assert funnel == f"Funnel: Top {top:,}, Bottom {bottom:,}, Purchase {oracle.purchases(some):,}"

    drawn: list[dict[str, Any]] = page.script(
        "return document.querySelector(arguments[0]).data.map("
        "t => ({name: t.name, sum: t.y.reduce((a, b) => a + b, 0)}))",
        card("events-over-time", ".chart"),
    )
    assert {series["name"].lower(): series["sum"] for series in drawn} == {
        source: len(of) for source, of in oracle.grouped(some, lambda f: f.source).items()
    }

    page.script("document.querySelector(arguments[0]).click()", card("countries", "button"))
    rows = [
        [cell.text for cell in row.find_elements("css selector", "th, td")]
        for row in page.all(card("countries", "tbody tr"))
    ]
    countries = oracle.grouped((fact for fact in some if fact.country), lambda fact: fact.country)
    assert sorted(number(row[1]) for row in rows) == sorted(len(of) for of in countries.values())
    assert sum(number(row[4]) for row in rows) == sum(map(oracle.amount, countries.values()))

    campaigns = oracle.grouped((f for f in some if f.campaignId), lambda fact: fact.campaignId)
    shown = {
        cells[0]: (number(cells[1].split()[0]), number(cells[5]))
        for row in page.all(card("campaigns", "tbody tr"))
        for cells in [[c.text for c in row.find_elements("css selector", "th, td")]]
    }
    assert shown == {name: (len(of), oracle.amount(of)) for name, of in campaigns.items()}
    assert len(page.all(card("latest", "tbody tr"))) == 12


def loads(page: Page) -> list[dict[str, Any]]:
    """Return what the page has loaded: name, start, and bytes over the wire."""
    return page.script(
        """
        return ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
          .map(({name, startTime, transferSize}) => ({name, startTime, transferSize}));
        """
    )


def test_the_page_is_light_and_asks_for_its_figures_first(page: Page, live: Analytics) -> None:
    page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    visit(page, live)
    some = loads(page)
    charts = [each for each in some if "charts.js" in each["name"]]
    assert len(charts) == 1
    size = sum(each["transferSize"] for each in some)
    assert size - charts[0]["transferSize"] <= 150_000
    assert size <= 250_000
    questions = [each for each in some if "/analytics/" in each["name"]]
    questions = [each for each in questions if "/analytics/live" not in each["name"]]  # every 5 s
    assert min(each["startTime"] for each in questions) < charts[0]["startTime"]
    # what the totals need is on its way before anything else is asked for
    first = sorted(questions, key=lambda each: each["startTime"])[:3]
    names = [urlsplit(each["name"]).path.rpartition("/")[2] for each in first]
    assert sorted(names) == ["overview", "overview", "timeseries"]
    assert not any("openapi.json" in each["name"] for each in some)
    # the modules that the page begins with are two files, which wait for none of each other
    scripts = [each for each in some if each["name"].endswith(".js")]
    begun = [each for each in scripts if each["startTime"] < min(q["startTime"] for q in first)]
    assert sorted(urlsplit(each["name"]).path.rpartition("/")[2] for each in begun) == [
        "dashboard.js",
        "early.js",
        "theme.js",
    ]
    assert len(some) - len(questions) <= 12
    assert len({each["name"] for each in questions}) == len(questions)

    page.driver.refresh()
    loaded(page)
    assets = [each for each in loads(page) if "/assets/" in each["name"]]
    assert len(assets) > 5
    assert sum(each["transferSize"] for each in assets) == 0  # no request: they are immutable


def query_from(address: str) -> str:
    return dict(parse_qsl(urlsplit(address).query))["from"]


def test_a_question_is_asked_once(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=30d")
    questions = [each["name"] for each in loads(page) if "/analytics/" in each["name"]]
    questions = [each for each in questions if "/analytics/live" not in each]  # every 5 s
    # once for the range, and once for the period to compare it with
    asked = {(question.split("?")[0], query_from(question)) for question in questions}
    assert len(asked) == len(questions)
    assert len({start for _, start in asked}) == 2
    assert sum("/analytics/overview" in question for question in questions) == 2  # and before


def test_figures_do_not_wait_for_charts(page: Page, live: Analytics) -> None:
    page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    page.block("*/dashboard.js")  # the totals need no more than the first script
    page.driver.get(live.function.url + "/?range=7d")
    wait_until(lambda: page.all("#totals [data-total]"))
    check_totals(page, within(midnight(6), NOW + timedelta(minutes=2)))
    assert all("dashboard.js" in message for message in page.errors())
    page.block("*/charts.js")
    visit(page, live)
    check_totals(page, within(midnight(6), NOW + timedelta(minutes=2)))
    assert page.all(card("campaigns", "tbody tr"))
    assert len(page.all(card("revenue-over-time", "tbody tr"))) == 7  # a table in its place
    assert all("charts.js" in message for message in page.errors())
    page.block()
    page.driver.refresh()
    loaded(page)
    assert page.all(card("revenue-over-time", ".chart"))


def test_change_is_against_the_period_before(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=yesterday")
    now = len(within(midnight(1), midnight(0)))
    before = len(within(midnight(2), midnight(1)))
    change = page.one("[data-total=events] .change").text
    assert change.replace("\n", " ").startswith(("↑" if now > before else "↓", "→"))
    shown = re.search(r"[\d.]+%", change)
    assert shown
    assert abs(float(shown[0][:-1]) / 100 - abs(now - before) / before) < 0.0006


@pytest.mark.parametrize(("how", "days"), [("week", 7), ("date", 4)])
@pytest.mark.slow
def test_what_to_compare_with_is_chosen(page: Page, live: Analytics, how: str, days: int) -> None:
    """Figures, curves and tables are compared with the same period."""
    visit(page, live, "?range=yesterday&interval=hour")
    Select(page.one("#compare")).select_by_value(how)
    day = midnight(1 + days).date()
    if how == "date":
        page.script(
            "const i = document.querySelector('#compare-from'); i.value = arguments[0];"
            "i.dispatchEvent(new Event('change'))",
            str(day),
        )
    wait_until(lambda: query_of(page).get("compare") == (how if how == "week" else str(day)))
    loaded(page)
    now = within(midnight(1), midnight(0))
    then = within(midnight(1 + days), midnight(days))
    change = page.one("[data-total=events] .change").text
    shown = re.search(r"([\d.]+)%", change)
    assert shown
    assert abs(float(shown[1]) / 100 - abs(len(now) - len(then)) / len(then)) < 0.0006
    assert change.endswith("vs the week before" if how == "week" else f"vs {day}")
    assert page.all(card("events-over-time", "path.before"))
    page.one(card("countries", "[title='Show as a table']")).click()
    of = oracle.grouped((f for f in then if f.country), lambda fact: fact.country)
    names = page.texts(card("countries", "thead th"))
    place = next(index for index, name in enumerate(names) if name.startswith("Events, "))
    for row in page.all(card("countries", "tbody tr")):
        cells = [cell.text for cell in row.find_elements("css selector", "th, td")]
        code = next(f.country for f in now if f.country and REGIONS.get(f.country) == cells[0])
        assert number(cells[place]) == len(of.get(code, []))
    assert page.texts(card("campaigns", "thead th span:first-child"))[-1] == "Revenue change"


@pytest.mark.slow
def test_bars_and_people_are_compared(page: Page, live: Analytics) -> None:
    """Beside each figure stands its change, and what it was on hover."""
    now = within(midnight(1), midnight(0))
    then = within(midnight(8), midnight(7))
    visit(page, live, "?range=yesterday&compare=week&breakdown=country")
    before = oracle.grouped((f for f in then if f.country), lambda fact: fact.country)
    rows = page.all(card("breakdown", "tbody tr:has([data-value]:not([data-value='']))"))
    assert len(rows) == len({fact.country for fact in now if fact.country})
    for row in rows:
        code = row.find_element("css selector", "button").get_attribute("data-value")
        of = before.get(code, [])
        words = hovered(row)
        assert words.get("Events") == (f"{len(of):,}" if of else None)
        if revenue := oracle.amount(of):
            assert words["Purchases"] == f"{oracle.purchases(of):,}"
            assert words["Revenue"] == f"{revenue:,.2f}"
            assert words["Conversion"].endswith("%")
    names = {name: len(before.get(code, [])) for code, name in REGIONS.items()}
    bars = page.all(card("countries", "tbody tr"))
    assert {
        row.find_element("css selector", ".bar-label").text: hovered(row).get("Events")
        for row in bars
    }.items() <= {name: f"{count:,}" if count else None for name, count in names.items()}.items()
    assert bars

    campaigns = oracle.grouped((f for f in then if f.campaignId), lambda fact: fact.campaignId)
    for row in page.all(card("campaigns", "tbody tr")):
        of = campaigns.get(row.find_element("css selector", "th").text, [])
        words = hovered(row)
        assert words.get("Events") == (f"{len(of):,}" if of else None)
        assert words["Revenue"] == f"{oracle.amount(of):,.2f}"
        assert not oracle.purchases(of) or "Average order" in words

    told = [fact for fact in then if any(name == "gender" for name, _ in fact.groups)]
    women = [fact for fact in told if ("gender", "female") in fact.groups]
    row = page.one(card("audience", "tbody tr:has([title='Only Female'])"))
    shown = float(hovered(row)["Share"].removesuffix("%"))
    assert abs(shown / 100 - len(women) / len(told)) < 0.0006

    visit(page, live, "?range=yesterday&compare=week&view=events")
    of_user = oracle.grouped(then, lambda fact: fact.userId)
    rows = page.all("#explorer-people tbody tr")
    counts = [hovered(row).get("Events") for row in rows]
    users = page.texts("#explorer-people tbody th")
    assert counts == [f"{len(of_user[user]):,}" if user in of_user else None for user in users]
    assert any(counts)


def hovered(row: WebElement) -> dict[str, str]:
    """Return what the figures of a row were the week before, by their names."""
    notes = row.find_elements("css selector", "[title*=', the week before: ']")
    words = [(note.get_attribute("title") or "").partition(", the week before: ") for note in notes]
    return {name: was for name, _, was in words}


REGIONS = {
    "US": "United States", "DE": "Germany", "GB": "United Kingdom", "FR": "France", "BR": "Brazil",
    "IN": "India", "JP": "Japan", "UA": "Ukraine", "PL": "Poland", "ES": "Spain",
}  # fmt: skip


@pytest.mark.slow
def test_curves_by_the_week_and_calendar_ranges(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=30d&compare=none")
    Select(page.one("#interval")).select_by_value("week")
    wait_until(lambda: query_of(page).get("interval") == "week")
    loaded(page)
    assert not page.all("path.before")
    page.one(card("events-over-time", "[title='Show as a table']")).click()
    some = within(midnight(29), NOW + timedelta(minutes=5))
    weeks = oracle.grouped(some, lambda fact: oracle.week_of(fact.at, ZoneInfo("UTC")))
    counts = [
        sum(int(number(cell.text)) for cell in row.find_elements("css selector", "td"))
        for row in page.all(card("events-over-time", "tbody tr"))
    ]
    assert [count for count in counts if count] == [len(weeks[week]) for week in sorted(weeks)]
    page.one("#range").click()
    page.one("[data-preset=year]").click()
    wait_until(lambda: query_of(page).get("range") == "year")
    loaded(page)
    start = midnight(0).replace(month=1, day=1)
    check_totals(page, within(start, NOW + timedelta(minutes=5)))


def test_change_of_a_rate_is_in_percentage_points(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=yesterday")
    now, before = (
        oracle.buyers(some) / oracle.users(some)
        for some in (within(midnight(1), midnight(0)), within(midnight(2), midnight(1)))
    )
    change = page.one("[data-total=conversionRate] .change").text
    shown = re.search(r"([\d.]+) pp", change)
    assert shown, change
    assert abs(float(shown[1]) / 100 - abs(now - before)) < 0.0006


@pytest.mark.parametrize("query", ["?range=30d", "?range=30d&campaign=campaign-01"])
def test_conversion_is_people_who_bought_of_people_seen(
    page: Page, live: Analytics, query: str
) -> None:
    """No other figure of the page has the word, and what each means is said on hover."""
    visit(page, live, query)
    campaign = {"campaignId": query_of(page).get("campaign", "")}
    some = oracle.chosen(FACTS, {name: value for name, value in campaign.items() if value})
    true = oracle.buyers(some) / oracle.users(some)
    assert abs(float(total(page, "conversionRate")) - true) <= 0.05 * true
    words = page.one("[data-total=conversionRate]").get_attribute("title")
    assert words
    assert words.startswith("People who bought, of all people seen.")
    assert f"{oracle.buyers(some):,} of " in words
    assert page.texts("h2").count("Conversion") == 1
    for name in ("funnel", "countries"):
        page.one(card(name, "[title='Show as a table']")).click()
    headings = page.texts("thead th")
    assert [text for text in headings if "onver" in text] == ["Conversion"]
    of_values = page.one(card("breakdown", "thead th:nth-child(4)"))  # the same figure, by value
    assert of_values.text == "Conversion"
    assert of_values.get_attribute("title") == "People who bought, of all people seen."
    heading = page.one("th:has([data-sort=purchaseRate])")
    assert heading.get_attribute("title") == "Purchases per click."
    assert "Click-through" in headings


def test_what_a_filter_leaves_out_is_said(page: Page, live: Analytics) -> None:
    """Purchases on TikTok tell no country: their users do, or the page says what is left out."""
    visit(page, live, "?range=30d&source=tiktok&country=US")
    some = oracle.chosen(FACTS, {"source": "tiktok", "country": "US"})
    own = oracle.chosen(FACTS, {"source": "tiktok", "country": "US", "countryOf": "event"})
    assert 0 < len(own) < len(some)
    check_totals(page, some)
    note = page.one("#left-out").text
    by_user = len(some) - len(own)
    assert note.startswith(f"{by_user} events ({oracle.purchases(some)} purchases, ")
    assert f"{oracle.amount(some):,.2f}" in note

    page.one("[data-country-of=event]").click()
    wait_until(lambda: query_of(page).get("countryOf") == "event")
    loaded(page)
    check_totals(page, own)
    silent = oracle.chosen(FACTS, {"source": "tiktok"})
    silent = [fact for fact in silent if fact.country is None]
    note = page.one("#left-out").text
    assert f"Left out: {len(silent):,} events" in note
    assert f"{oracle.amount(silent):,.2f}" in note
    funnel = page.one(card("funnel", ".chart")).get_attribute("aria-label")
    assert funnel == f"Funnel: Top {len(own):,}, Bottom {DASH}, Purchase {DASH}"
    page.one("[data-country-of=user]").click()
    shows(page, source="tiktok", country="US")


def test_a_campaign_has_no_top_of_the_funnel(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=30d&campaign=campaign-01")
    some = oracle.chosen(FACTS, {"campaignId": "campaign-01"})
    funnel = page.one(card("funnel", ".chart")).get_attribute("aria-label")
    bought = oracle.purchases(some)
    assert funnel == f"Funnel: Top {DASH}, Bottom {len(some):,}, Purchase {bought:,}"
    assert "0 of 0" not in page.one(card("funnel", ".body")).text
    without = [fact for fact in FACTS if fact.campaignId is None]
    note = page.one("#left-out").text
    assert f"Left out: {len(without):,} events ({oracle.purchases(without):,} purchases" in note
    assert note.endswith("without a campaign.")


def test_filters_narrow_everything_and_are_in_the_address(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=30d")
    Select(page.one("#source")).select_by_visible_text("Facebook")
    loaded(page)
    wait_until(
        lambda: total(page, "events") == str(len(oracle.chosen(FACTS, {"source": "facebook"})))
    )
    Select(page.one("#country")).select_by_visible_text("Germany")
    filters = {"source": "facebook", "country": "DE"}
    shows(page, **filters)
    page.one(card("campaigns", "tbody button")).click()
    wait_until(lambda: "campaign" in query_of(page))
    loaded(page)
    question = query_of(page)
    assert question == {"range": "30d", **filters, "campaign": question["campaign"]}
    some = shows(page, **filters, campaignId=question["campaign"])
    check_totals(page, some)

    page.driver.refresh()
    loaded(page)
    check_totals(page, some)
    assert Select(page.one("#country")).first_selected_option.text == "Germany"
    # the other choices are still offered
    wait_until(lambda: len(Select(page.one("#country")).options) > 5)

    page.driver.back()
    shows(page, **filters)
    page.one("#clear").click()
    shows(page)
    assert query_of(page) == {"range": "30d"}


@pytest.mark.slow
def test_a_bar_filters_and_its_chip_takes_that_off(page: Page, live: Analytics) -> None:
    """By any property; it is in the address and on paper, and what it leaves out is said."""
    visit(page, live, "?range=30d&compare=none&breakdown=gender")
    bar = page.one(card("breakdown", "[data-value=female]"))
    bar.send_keys(Keys.ENTER)
    some = [fact for fact in FACTS if ("gender", "female") in fact.groups]
    wait_until(lambda: total(page, "events") == str(len(some)))
    loaded(page)
    check_totals(page, some)
    assert query_of(page)["filter"] == "gender:is:female"
    assert (
        page.one(card("breakdown", "[data-value=female]")).get_attribute("aria-pressed") == "true"
    )
    silent = [fact for fact in FACTS if "gender" not in dict(fact.groups)]
    assert f"Left out: {len(silent):,} events" in page.one("#left-out").text
    assert "without gender." in page.one("#left-out").text
    assert "Gender: Female" in page.texts("#view")[0]
    page.driver.refresh()
    loaded(page)
    check_totals(page, some)
    assert page.texts("#chips .chip")[0].startswith("Gender: Female")
    page.one("#chips .chip").click()
    shows(page)
    assert "filter" not in query_of(page)
    assert page.script("return document.activeElement.id") == "source"


@pytest.mark.slow
def test_revenue_by_campaign_of_last_week_as_csv(page: Page, live: Analytics) -> None:
    visit(page, live)
    page.one("#range").click()
    page.one("[data-preset=lastweek]").click()
    wait_until(lambda: query_of(page).get("range") == "lastweek")
    loaded(page)
    page.one(card("campaigns", "[title='Download as CSV']")).click()
    monday = midnight(datetime.now(UTC).weekday() + 7)
    text = page.download(f"campaigns_{monday:%Y-%m-%d}_*.csv")
    revenue = {
        row["campaignId"]: Decimal(row["revenue"]) for row in csv.DictReader(io.StringIO(text))
    }
    some = within(monday, monday + timedelta(days=7))
    expected = oracle.grouped((f for f in some if f.campaignId), lambda fact: fact.campaignId)
    assert revenue == {name: oracle.amount(of) for name, of in expected.items()}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "funnel" else pytest.mark.slow)
        for name in CARDS
        if name != "campaigns"
    ],
)
def test_every_chart_is_a_table_and_a_csv_too(page: Page, live: Analytics, name: str) -> None:
    visit(page, live)
    page.one(card(name, "[title='Download as CSV']")).click()
    rows = list(csv.reader(io.StringIO(page.download("*.csv"))))
    page.one(card(name, "[title='Show as a table']")).click()
    assert len(page.all(card(name, "tbody tr"))) == len(rows) - 1
    assert len(page.all(card(name, "thead th"))) == len(rows[0])
    page.one(card(name, "[title='Show as a table']")).click()
    assert page.all(card(name, ".chart, .bars"))


@pytest.mark.slow
def test_raw_events_of_the_view_as_a_file(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=yesterday&source=tiktok")
    page.one(card("latest", ".exports button")).click()
    rows = list(csv.DictReader(io.StringIO(page.download("raw-events_*.csv"))))
    assert len(rows) == len(within(midnight(1), midnight(0), source="tiktok"))


@pytest.mark.slow
def test_a_custom_range(page: Page, live: Analytics) -> None:
    visit(page, live)
    page.one("#range").click()
    page.one("#exact-times summary").click()
    start, end = midnight(5) + timedelta(hours=7, minutes=30), midnight(3)
    for field, moment in (("from", start), ("to", end)):
        page.script(
            "document.getElementById(arguments[0]).value = arguments[1]",
            f"custom-{field}",
            f"{moment:%Y-%m-%dT%H:%M}",
        )
    page.one("#custom button").click()
    wait_until(lambda: "from" in query_of(page))
    loaded(page)
    check_totals(page, within(start, end))


@pytest.mark.slow
def test_days_are_those_of_the_time_zone(page: Page, live: Analytics, tmp_path: Path) -> None:
    """The workspace's, or one that is chosen; amounts have the workspace's currency."""
    variables = {"DATABASE_READER_URL": live.owner_url, "TIMEZONE": "Asia/Tokyo", "CURRENCY": "EUR"}
    day = midnight(8).date()

    def of_day(zone: str) -> list[Fact]:
        return [fact for fact in FACTS if fact.at.astimezone(ZoneInfo(zone)).date() == day]

    with running(HANDLER, tmp_path / "analytics.log", **variables) as function:
        page.driver.get(f"{function.url}/?from={day}&to={day + timedelta(days=1)}")
        loaded(page)
        check_totals(page, of_day("Asia/Tokyo"))
        assert "€" in page.one("[data-total=revenue] .figure").text
        assert page.one("#range-dates").text.startswith(f"{day:%b} {day.day}")
        page.one("#range").click()
        Select(page.one("#zone")).select_by_value("America/New_York")
        some = of_day("America/New_York")
        wait_until(lambda: total(page, "events") == str(len(some)))
        loaded(page)
        check_totals(page, some)
        assert query_of(page)["timezone"] == "America/New_York"
        assert page.one("#range-dates").text.startswith(f"{day:%b} {day.day}")
        assert "America/New_York" in page.one("#status").text
        page.script(
            "document.querySelector(arguments[0]).click()", card("events-over-time", "button")
        )
        assert page.texts(card("events-over-time", "tbody tr:first-child th"))[0].endswith("00:00")
        page.driver.get("about:blank")  # it asks all the time


@pytest.mark.slow
def test_a_funnel_of_chosen_steps(page: Page, live: Analytics) -> None:
    """Steps are chosen on the page, counted in people, and kept in the address."""
    visit(page, live, "?range=30d&window=30d")
    page.one("[data-view=funnels]").click()
    wait_until(lambda: page.all("#step-1"))
    for step, value in enumerate(("facebook:ad.view", "facebook:ad.click")):
        Select(page.one(f"#step-{step}")).select_by_value(value)
        wait_until(lambda value=value: value in query_of(page).get("steps", ""))
        loaded(page)
    page.one("#add-step").click()
    wait_until(lambda: page.all("#where-2"))
    loaded(page)
    page.one("#where-0").click()
    page.one("#step-0-filter-by").send_keys("gender")
    page.one("#step-0-filter-value").send_keys("female", Keys.ENTER)
    wait_until(lambda: "facebook:ad.view;gender:is:female~" in query_of(page)["steps"])
    loaded(page)
    Select(page.one("#each")).select_by_value("campaignId")
    wait_until(lambda: page.all(card("steps", "tbody tr")))
    loaded(page)
    some = within(midnight(29), NOW + timedelta(minutes=5))
    expected = oracle.funnel_steps(
        some,
        [
            lambda f: (
                (f.source, f.eventType) == ("facebook", "ad.view")
                and ("gender", "female") in f.groups
            ),
            lambda f: f.eventType == "ad.click",
            lambda f: f.funnelStage == "bottom",
        ],
        timedelta(days=30),
        "campaignId",
    )
    reached = [sum(of) for of in zip(*expected.values(), strict=True)]
    shown = page.texts(card("steps", ".steps li p:first-child span"))
    assert [number(text.split()[0]) for text in shown] == reached
    rows = {
        cells[0]: [number(text) for text in cells[1:-1]]
        for row in page.all(card("steps", "tbody tr"))
        for cells in [[c.text for c in row.find_elements("css selector", "th, td")]]
    }
    assert rows == {key or "Unknown": of for key, of in expected.items()}
    page.driver.refresh()
    loaded(page)
    assert page.texts(card("steps", ".steps li p:first-child span")) == shown
    # nothing was before: a count of 0, a rate that is not known
    past = page.texts(card("steps", ".step-past"))
    assert past[1] == f"previous: 0 people (new), {DASH} of the step before ({DASH})"

    steps = "facebook:ad.view~facebook:ad.click"
    span = f"from={oracle.utc(midnight(8))}&to={oracle.utc(midnight(0))}"
    visit(page, live, f"?{span}&view=funnels&window=30d&each=source&steps={steps}")
    now, then = (
        oracle.funnel_steps(
            within(start, start + timedelta(days=8)),
            [lambda f: f.eventType == "ad.view", lambda f: f.eventType == "ad.click"],
            timedelta(days=30),
            "source",
        )["facebook"]
        for start in (midnight(8), midnight(16))
    )
    change = 100 * (now[1] / now[0] - then[1] / then[0])
    figures = re.fullmatch(
        rf"previous: {then[1]} people \(.+\), ([\d.]+)% of the step before \((.+) pp\)",
        page.texts(card("steps", ".step-past"))[1],
    )
    assert figures
    assert abs(float(figures[1]) - 100 * then[1] / then[0]) <= 0.051
    assert abs(float(figures[2].replace("\u2212", "-")) - change) <= 0.051
    assert rows_of(page, "steps", "tbody")[0][3].endswith(f" {figures[2]} pp")
    page.one(card("steps", "[title='Show as a table']")).click()
    head, everybody, facebook = rows_of(page, "steps")
    assert head[-2:] == ["Did all, previous", "Did all, change"]
    assert facebook[1:] == everybody[1:]
    assert facebook[4:][:1] + facebook[6:][:1] == [f"{people:,}" for people in then]
    assert facebook[-1] == f"{figures[2]} pp"


@pytest.mark.slow
def test_who_comes_back(page: Page, live: Analytics) -> None:
    """The view of retention: cohorts by week, in total and by source."""
    visit(page, live, "?range=30d")
    page.one("[data-view=retention]").click()
    wait_until(lambda: page.texts(card("retention", ".heat tbody th")))
    loaded(page)
    assert query_of(page) == {"range": "30d", "view": "retention"}
    question = {"from": oracle.utc(midnight(29)), "to": oracle.utc(NOW + timedelta(minutes=5))}
    expected = oracle.cohorts(FACTS, question, "none", ZoneInfo("UTC"), "any")["all"]
    rows = [
        [cell.text for cell in row.find_elements("css selector", "th, td")]
        for row in page.all(card("retention", ".heat tbody tr"))
    ]
    assert len(rows) == len(expected)
    for row, (week, of) in zip(rows, sorted(expected.items()), strict=True):
        assert row[0] == f"{week:%b} {week.day}, {week.year}"
        assert number(row[1]) == of[week]
        for step, text in enumerate(cell for cell in row[2:] if cell):
            share = of.get(week + timedelta(days=7 * step), 0) / of[week]
            assert abs(float(text.rstrip("%")) - 100 * share) <= 0.051
    assert page.all(card("retention", ".unfinished"))
    assert rows_of(page, "retention", "tfoot")[2][:2] == ["Change", "new"]
    assert set(rows_of(page, "retention", "tfoot")[2][3:]) == {DASH}  # nothing was before
    Select(page.one("#by")).select_by_value("source")
    wait_until(lambda: page.texts(card("retention", "h3")) == ["Facebook", "TikTok"])
    loaded(page)
    assert query_of(page)["by"] == "source"
    check_retention_before(page, live)
    page.one("[data-view=overview]").click()
    shows(page, **{name: oracle.utc(at) for name, at in (("from", midnight(6)), ("to", SOON))})


def check_retention_before(page: Page, live: Analytics) -> None:
    """Days that are over are compared with days that were whole, by people and in points."""
    visit(page, live, "?range=7d&view=retention&cohort=day")
    days = 6  # today is not over, nor was the day seven days ago that the other period ends in
    of_period: list[list[list[int]]] = []
    for ago in (6, 13):
        ends = {"from": oracle.utc(midnight(ago)), "to": oracle.utc(midnight(ago - days))}
        found = oracle.cohorts(FACTS, ends, "none", UTC_ZONE, "any", lambda at, _: at.date())
        dates = [midnight(ago - day).date() for day in range(days)]
        of_period.append(
            [
                [found.get("all", {}).get(first, {}).get(seen, 0) for seen in dates[place:]]
                for place, first in enumerate(dates)
            ]
        )
    now, then = of_period

    def share(cohorts: list[list[int]], step: int) -> float | None:
        whole = cohorts[: days - step]
        people = sum(cohort[0] for cohort in whole)
        return 100 * sum(cohort[step] for cohort in whole) / people if people else None

    rows = {row[0]: row[1:] for row in rows_of(page, "retention", "tbody")}
    for place, cohort in enumerate(now):
        day = midnight(6 - place)
        note = rows.pop(f"{day:%b} {day.day}, {day.year}", ["0"])[0].split()
        assert number(note[0]) == cohort[0]
        if cohort[0] and then[place][0]:
            change = float(note[1].strip("+%").replace("\u2212", "-"))
            assert abs(change - 100 * (cohort[0] / then[place][0] - 1)) <= 0.051
    assert all(" " not in cells[0] for cells in rows.values())  # today

    _, before, changed = rows_of(page, "retention", "tfoot")
    assert before[0] == "All, previous"
    for step in range(1, days):
        shares = share(now, step), share(then, step)
        texts = before[2 + step], changed[2 + step]
        if None in shares:
            assert DASH in texts
            continue
        assert abs(float(texts[0].rstrip("%")) - (shares[1] or 0)) <= 0.051
        points = float(texts[1].removesuffix(" pp").replace("\u2212", "-"))
        assert abs(points - ((shares[0] or 0) - (shares[1] or 0))) <= 0.051
    assert changed[2 + days :] == [DASH]


@pytest.mark.slow
def test_a_range_that_ends_before_it_starts_is_refused(page: Page, live: Analytics) -> None:
    visit(page, live)
    page.one("#range").click()
    page.one("#exact-times summary").click()
    page.script("document.getElementById('custom-to').value = '2001-01-01T00:00'")
    page.one("#custom button").click()
    assert page.one("#custom-error").text == "The end must be after the start."
    assert query_of(page) == {}


@pytest.mark.slow
def test_dragging_over_a_chart_zooms_in(page: Page, live: Analytics) -> None:
    """Nine days are drawn by the day: what is touched is in the range, from midnight on."""
    visit(page, live, f"?from={oracle.utc(midnight(11))}&to={oracle.utc(midnight(2))}")
    touched: dict[str, Any] = page.script(
        """
        const chart = document.querySelector(arguments[0]);
        const bars = [...chart.querySelectorAll("g:first-of-type .bar")].slice(3, 6);
        const boxes = [bars[0], bars[2]].map((bar) => bar.getBoundingClientRect());
        return {from: boxes[0].left + 2, to: boxes[1].left + 2, y: boxes[0].bottom - 3};
        """,
        card("events-over-time", ".chart"),
    )
    mouse = ActionBuilder(page.driver, duration=0)
    place = round(touched["y"])
    mouse.pointer_action.move_to_location(round(touched["from"]), place).pointer_down()
    mouse.pointer_action.move_to_location(round(touched["to"]), place).pointer_up()
    mouse.perform()
    wait_until(lambda: query_of(page).get("from") == oracle.utc(midnight(8)))
    loaded(page)
    assert query_of(page)["to"] == oracle.utc(midnight(5))
    check_totals(page, within(midnight(8), midnight(5)))


@pytest.mark.slow
def test_a_chart_tells_the_figures_below_the_mouse(page: Page, live: Analytics) -> None:
    visit(page, live, f"?from={oracle.utc(midnight(11))}&to={oracle.utc(midnight(2))}")
    bar = page.one(card("events-over-time", ".bar"))
    ActionChains(page.driver).move_to_element(bar).perform()
    tip = page.one(card("events-over-time", ".tip"))
    wait_until(tip.is_displayed)
    some = within(midnight(11), midnight(10))
    of = {name: len(facts) for name, facts in oracle.grouped(some, lambda f: f.source).items()}
    rows = {row.split()[0]: row.split()[1] for row in tip.text.splitlines() if "%" in row}
    assert {name.lower(): number(value) for name, value in rows.items()} == {
        **of,
        "total": len(some),
    }


def test_what_is_not_over_is_dashed(page: Page, live: Analytics) -> None:
    """Today looks like what it is: not like a fall."""
    visit(page, live, f"?from={oracle.utc(midnight(9))}&to={oracle.utc(midnight(-1))}&split=none")
    assert len(page.all(card("events-over-time", ".bar"))) == 10
    assert len(page.all(card("events-over-time", ".bar.unfinished"))) == 1
    assert page.all(card("events-over-time", ".bar:last-child.unfinished"))
    assert len(page.all("[data-total=events] .course-line.unfinished")) == 1
    visit(page, live, "?range=7d&split=none")  # by the hour: areas
    assert len(page.all(card("events-over-time", ".line.unfinished"))) == 1
    visit(page, live, "?range=lastweek")
    assert page.all(".bar")
    assert page.all(".unfinished") == []


@pytest.mark.slow
def test_paper_has_range_and_filters_and_whole_tables(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=yesterday&source=facebook&country=DE")
    for name in CARDS:
        for button in page.all(card(name, "[title='Show as a table']")):
            button.click()
    assert not page.one("#view").is_displayed()
    try:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        page.size(720, 1000)
        words = page.one("#view").text
        day = f"{midnight(1):%b} {midnight(1).day}, {midnight(1).year}"
        assert words == f"Yesterday ({day}, UTC) · Source: Facebook · Country: Germany"
        cut = page.script(
            """
            return [...document.querySelectorAll(".table-scroll")].filter((box) =>
              getComputedStyle(box).overflowY !== "visible"
              || [...box.querySelectorAll("td, th")].some((cell) =>
                cell.getBoundingClientRect().right > document.documentElement.clientWidth)
            ).map((box) => box.getAttribute("aria-label"));
            """
        )
        assert cut == []
        assert len(page.all(".table-scroll")) >= len(CARDS)
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_live_shows_new_events_within_seconds(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=1h&country=Atlantis")
    assert total(page, "events") == "0"
    page.one("#live").click()
    assert query_of(page)["live"] == "1"
    (event,) = generated(1, seed=99, mix=Mix(days=0.001, shuffled=1), until=datetime.now(UTC))
    place = event["data"]["user"].get("location", event["data"]["engagement"])
    place["country"] = "Atlantis"
    if event["funnelStage"] == "bottom" and event["source"] == "tiktok":
        pytest.fail("this seed's event has no country")
    store(live.owner_url, [event])
    FACTS.extend(oracle.facts([event]))
    wait_until(lambda: total(page, "events") == "1", 30)
    wait_until(lambda: now_shown(page) == ("1", "1"), 30)
    page.one("#live").click()
    loaded(page)
    compact_deltas(live.owner_url)


def now_shown(page: Page) -> tuple[str, str]:
    """Return the events and the people that the page shows of the last minutes."""
    return tuple(
        page.script("const {events, users} = document.querySelector('#now').dataset;"
                    "return [events, users]")
    )  # fmt: skip


@pytest.mark.slow
def test_what_happens_now_stays_where_it_cannot_be_asked(page: Page, live: Analytics) -> None:
    visit(page, live, "?source=tiktok")
    wait_until(lambda: now_shown(page)[0] is not None)
    page.block("*/analytics/live*")
    wait_until(lambda: page.all("#now.old"), 60)
    assert "in the last 5 minutes" in page.one("#now").text
    assert page.one("#now").is_displayed()
    page.block()
    wait_until(lambda: page.all("#now:not(.old)"), 60)
    assert all("analytics/live" in message for message in page.errors())


def test_an_empty_range_says_so_once(page: Page, live: Analytics) -> None:
    """One card with a way on, in the place of seven that say the same."""
    visit(page, live, "?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z&source=tiktok")
    assert total(page, "events") == "0"
    wait_until(lambda: page.one("#start").is_displayed())
    assert "No event matches this range and these filters" in page.one("#start").text
    assert not page.one(".grid").is_displayed()
    page.one("#start-clear").click()
    loaded(page)
    wait_until(lambda: "No event is in this range." in page.one("#start").text)
    page.one("#start-all").click()
    shows(page)
    assert page.one(".grid").is_displayed()
    assert not page.one("#start").is_displayed()
    assert page.all(card("revenue-over-time", ".line, .bar"))


@pytest.mark.slow
def test_an_empty_database_offers_a_first_event(
    page: Page, postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    with analytics(postgres, migrated_template, tmp_path) as empty:
        visit(page, empty)
        wait_until(lambda: page.one("#start").is_displayed())
        assert page.one("#start h2").text == "Send your first event"
        command = page.one("#start pre").text
        assert command.startswith("curl -X POST ")
        store(empty.owner_url, [json.loads(command.split("-d '")[1].rstrip("'"))])
        page.one("#live").click()
        wait_until(lambda: total(page, "events") == "1", 60)
        assert not page.one("#start").is_displayed()
        page.one("#live").click()
        loaded(page)
        page.driver.get("about:blank")  # it asks all the time


@pytest.mark.slow
def test_a_database_that_is_away_is_said_once(
    page: Page, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """One banner; the figures stay, with their time; it goes on by itself."""
    postgres_server.ensure_database("universe")
    owner_url = postgres_server.url(database="universe")
    migrate(owner_url)
    postgres_server.set_role_passwords()
    store(owner_url, EVENTS)
    week = {"from": oracle.utc(midnight(6)), "to": oracle.utc(NOW + timedelta(minutes=2))}
    some = oracle.chosen(oracle.facts(EVENTS), week)
    variables = {"DATABASE_READER_URL": postgres_server.url(READER, "universe")}
    with (
        running(HANDLER, tmp_path / "log", **variables) as process,
        httpx.Client(base_url=process.url) as client,
    ):
        function = Analytics(process, client, owner_url)
        visit(page, function)
        check_totals(page, some)

        postgres_server.stop()
        page.one("#live").click()
        wait_until(lambda: page.one("#banner").is_displayed(), 60)
        wait_until(lambda: "cannot be reached" in page.one("#banner").text, 60)
        said = r"cannot be reached now.* These are the figures of \d\d:\d\d:\d\d UTC\."
        assert re.search(said, page.one("#banner").text)
        alerts = [each for each in page.all("[role=alert]") if each.is_displayed() and each.text]
        assert [alert.get_attribute("id") for alert in alerts] == ["banner"]
        check_totals(page, some)
        assert page.all(card("funnel", ".part"))
        assert page.all(card("campaigns", "tbody tr"))
        Select(page.one("#source")).select_by_visible_text("TikTok")  # another question
        wait_until(lambda: not page.all("[data-total]"), 60)
        wait_until(lambda: page.all(card("campaigns", ".empty")), 60)

        postgres_server.start()
        wait_until(lambda: not page.one("#banner").is_displayed(), 60)
        page.one("#live").click()
        loaded(page)
        check_totals(page, [fact for fact in some if fact.source == "tiktok"])

        with psycopg.connect(owner_url) as owner:
            owner.execute("LOCK TABLE events, rollup_deltas IN ACCESS EXCLUSIVE MODE")
            page.one("#clear").click()
            wait_until(lambda: "does not answer yet" in page.one("#banner").text, 60)
        wait_until(lambda: not page.one("#banner").is_displayed(), 60)
        page.driver.get("about:blank")  # it would go on asking
    # what the browser says of requests that failed, and nothing of scripts
    others = [said for said in page.errors() if not re.search(r" 50[34] |net::ERR_", said)]
    assert not others


def test_a_report_that_fails_spares_the_others(page: Page, live: Analytics) -> None:
    page.block("*/analytics/countries*")
    page.driver.get(live.function.url + "/")
    loaded(page, "partly")
    assert "cannot be reached" in page.one(card("countries", "[role=alert]")).text
    some = within(midnight(6), datetime.now(UTC) + timedelta(minutes=2))
    assert total(page, "events") == str(len(some))
    assert page.all(card("campaigns", "tbody tr"))
    assert all("analytics/countries" in message for message in page.errors())
    page.block()
    page.one(card("countries", "[role=alert] button")).click()
    loaded(page)
    assert page.all(card("countries", ".bars tr"))


def test_an_error_of_the_api_is_shown_in_its_words(page: Page, live: Analytics) -> None:
    page.driver.get(live.function.url + "/?range=7d&source=myspace")
    loaded(page, "partly")
    assert "Known sources: facebook, tiktok" in page.one(card("funnel", "[role=alert]")).text
    assert all("422" in message for message in page.errors())
    # the filter says what is on, and the chip takes it off
    wait_until(lambda: page.texts("#source option:checked") == ["myspace (unknown)"])
    assert page.texts("#chips .chip")[0].startswith("Source: Myspace")
    page.one("#chips .chip").click()
    loaded(page)
    assert page.texts("#source option") == ["All sources", "Facebook", "TikTok"]


@pytest.mark.slow
def test_the_key_is_asked_for(
    page: Page, postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    secrets = str(secrets_folder(tmp_path / "secrets", analytics_api_key="open sesame"))
    with analytics(postgres, migrated_template, tmp_path, SECRETS_DIR=secrets) as locked:
        page.driver.get(locked.function.url + "/")
        wait_until(lambda: page.one("#key-dialog").is_displayed())
        page.one("#key").send_keys("wrong" + Keys.ENTER)
        wait_until(lambda: "X-Api-Key" in page.one("#key-message").text)
        page.one("#key").clear()
        page.one("#key").send_keys("open sesame" + Keys.ENTER)
        loaded(page)
        page.driver.refresh()
        loaded(page)
        assert not page.one("#key-dialog").is_displayed()
        page.driver.get("about:blank")  # it asks all the time
    assert all("401" in message for message in page.errors())


def test_it_works_by_keyboard(page: Page, live: Analytics) -> None:
    visit(page, live)
    page.one("body").send_keys(Keys.TAB)
    assert page.script("return document.activeElement.className") == "skip"
    page.one("#range").send_keys(Keys.ENTER)
    assert page.script("return document.activeElement.dataset.preset") == "7d"
    assert page.one("#range").get_attribute("aria-expanded") == "true"
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert page.script("return document.activeElement.id") == "range"
    assert not page.one("#range-panel").is_displayed()

    heading = page.one("[data-sort=events]")
    heading.send_keys(Keys.ENTER)
    assert page.script("return document.activeElement.dataset.sort") == "events"
    assert page.one("th[aria-sort]").get_attribute("aria-sort") == "descending"
    texts = page.texts(card("campaigns", "tbody td:nth-child(2)"))
    numbers = [number(text.split()[0]) for text in texts]
    assert numbers == sorted(numbers, reverse=True)
    page.one("[data-sort=events]").send_keys(Keys.ENTER)
    assert page.one("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    assert query_of(page)["sort"] == "events.up"


@pytest.mark.slow
def test_presets_are_walked_by_arrows(page: Page, live: Analytics) -> None:
    visit(page, live)
    page.one("#range").send_keys(Keys.ENTER)
    for key, name in (
        (Keys.ARROW_DOWN, "30d"),
        (Keys.ARROW_UP, "7d"),
        (Keys.ARROW_UP, "yesterday"),
    ):
        page.driver.switch_to.active_element.send_keys(key)
        assert page.script("return document.activeElement.dataset.preset") == name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read(page: Page, live: Analytics, theme: str) -> None:
    """Text has a contrast of 4.5, large text and the edges of what can be used one of 3."""
    page.script("localStorage.setItem('theme', arguments[0])", theme)
    visit(page, live, "?range=30d&country=US")
    faint = page.script(CONTRASTS)
    assert faint == []


CONTRASTS = """
const pen = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
  .getContext("2d", {willReadFrequently: true});
const rgba = (colour) => {
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], below) => [r, g, b].map((each, i) => each * a + below[i] * (1 - a));
const behind = (e) => {
  if (!e) return [255, 255, 255];
  const part = e.matches("g") ? e.querySelector(".part") : null;
  if (part) return rgba(getComputedStyle(part).fill);
  const colour = rgba(getComputedStyle(e).backgroundColor);
  return colour[3] === 1 ? colour : over(colour, behind(e.parentElement));
};
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
const faint = [];
for (const e of document.querySelectorAll("body *")) {
  if (!e.checkVisibility() || e.closest(".hidden, [disabled], .skip")) continue;
  const style = getComputedStyle(e);
  const below = behind(e.matches("text") ? e.parentElement : e);
  const svg = e.namespaceURI.endsWith("svg");
  if ([...e.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) {
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = contrast(over(rgba(svg ? style.fill : style.color), below), below);
    const name = e.className.baseVal ?? e.className;
    if (ratio < (large ? 3 : 4.5)) faint.push([name, e.textContent, ratio]);
  }
  if (e.matches("select, input, .button:not(.quiet)")) {
    const around = behind(e.parentElement);
    const ratio = contrast(over(rgba(style.borderTopColor), around), around);
    if (ratio < 3) faint.push([e.id || e.className, "border", ratio]);
  }
}
return faint;
"""


@pytest.mark.slow
def test_a_phone_says_that_tables_go_on(page: Page, live: Analytics) -> None:
    page.size(390, 800, phone=True)
    visit(page, live, "?range=30d")
    hint = page.one(card("campaigns", ".scroll-hint"))
    wait_until(hint.is_displayed)
    assert "scroll sideways" in hint.text
    assert page.one("#status").is_displayed()
    page.size(1400, 1000)
    wait_until(lambda: not hint.is_displayed())


def test_everything_has_a_name(page: Page, live: Analytics) -> None:
    visit(page, live)
    nameless = page.script(
        """
        const name = (e) => (e.getAttribute("aria-label") || e.textContent
          || (e.labels && [...e.labels].map((l) => l.textContent).join("")) || e.alt || "").trim();
        return [...document.querySelectorAll("button, a, select, input, [role=img], [role=region]")]
          .filter((e) => !name(e)).map((e) => e.outerHTML);
        """
    )
    assert nameless == []
    assert page.script("return document.documentElement.lang") == "en"
    assert page.script("return document.querySelectorAll('h1').length") == 1
    assert page.one("#status").get_attribute("aria-live") == "polite"


@pytest.mark.slow
def test_dark_and_light_are_remembered(page: Page, live: Analytics) -> None:
    visit(page, live)
    before = page.script("return document.documentElement.dataset.theme")
    page.one("#theme").click()
    after = page.script("return document.documentElement.dataset.theme")
    assert {before, after} == {"light", "dark"}
    page.driver.refresh()
    loaded(page)
    assert page.script("return document.documentElement.dataset.theme") == after


@pytest.mark.parametrize(
    "width",
    [
        pytest.param(w, marks=[] if w == 390 else pytest.mark.slow)
        for w in (320, 390, 768, 1100, 1920)
    ],
)
def test_it_fits_any_screen(page: Page, live: Analytics, width: int) -> None:
    page.size(width, 800, phone=width < 700)
    visit(page, live)
    assert page.script("return document.documentElement.scrollWidth") <= width
    page.one("#range").click()
    box = page.script("return document.getElementById('range-panel').getBoundingClientRect()")
    assert box["left"] >= 0
    assert box["right"] <= width
    covered = page.script(
        """
        const panel = document.getElementById("range-panel");
        const box = panel.getBoundingClientRect();
        const bottom = Math.min(box.bottom, innerHeight) - 5;
        return ![0.1, 0.5, 0.9].every((x) => [0.1, 0.5, 0.95].every((y) =>
          panel.contains(document.elementFromPoint(
            box.left + x * box.width, box.top + y * (bottom - box.top)))));
        """
    )
    assert not covered


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.slow
def test_it_works_below_any_path(page: Page, live: Analytics, slash: str) -> None:
    with mounted(live.function.url, "/function/analytics-query") as url:
        page.driver.get(url + slash + "?range=24h")
        loaded(page)
        assert urlsplit(page.driver.current_url).path == "/function/analytics-query/"
        assert query_of(page) == {"range": "24h"}
        page.errors()  # without the slash the browser may have looked in the wrong place first
        page.one(".bar a[href=api]").click()
        check_swagger(page)
        page.driver.get(url + "/api/")
        check_swagger(page)


def check_swagger(page: Page) -> None:
    operations = len(REPORTS) + len(WRITES)
    wait_until(lambda: len(page.all(".opblock-summary")) == operations, 60)
    assert page.one(".opblock-summary-path").text.replace("\u200b", "") == "/analytics/overview"


@pytest.mark.slow
def test_swagger_ui_asks_the_live_function(page: Page, live: Analytics) -> None:
    with mounted(live.function.url, "/function/analytics-query") as url:
        page.driver.get(url + "/api")
        check_swagger(page)
        colour = "return getComputedStyle(document.querySelector('.swagger-ui')).backgroundColor"
        page.script("document.documentElement.dataset.theme === 'dark' || theme.click()")
        assert page.script(colour) == "rgb(12, 14, 22)"
        page.one("#theme").click()
        assert page.script(colour) == "rgb(245, 246, 250)"
        page.one("#operations-analytics-funnel .opblock-summary-control").click()
        execute = wait_until(lambda: page.all("#operations-analytics-funnel .execute"))[0]
        page.script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", execute)
        wait_until(lambda: page.texts(".live-responses-table .response-col_status"), 30)
        status = page.texts(".live-responses-table tbody .response-col_status")[0]
        assert status.startswith("200")
        address = page.texts(".request-url pre")[0]
        assert address.startswith(f"{url}/analytics/funnel?")
