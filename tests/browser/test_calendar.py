"""The calendar of the dashboard, by mouse and keyboard."""

from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support import oracle
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import check_totals, loaded, query_of, visit, within
from tests.support.net import wait_until


def focused_day(page: Page) -> str:
    return page.script("return document.activeElement.getAttribute('aria-label')")


def named(day: date) -> str:
    return f"{day:%A}, {day:%B} {day.day}, {day.year}"


@pytest.mark.slow
def test_a_range_of_days_is_chosen_in_the_calendar(page: Page, live: Analytics) -> None:
    """By two clicks in either order, or by the keyboard alone; days are those of the time zone."""
    visit(page, live, "?timezone=Pacific/Auckland")
    zone = ZoneInfo("Pacific/Auckland")
    today = datetime.now(zone).date()
    first, last = today - timedelta(days=9), today - timedelta(days=3)
    page.one("#range").click()
    assert page.one("#calendar [aria-current=date]").get_attribute("aria-label") == named(today)
    assert len(page.all("#calendar [aria-selected=true]")) >= min(today.day, 7)
    for day in (last, first):
        while not (found := page.all(f"#calendar [aria-label='{named(day)}']:not(.outside)")):
            page.one("#calendar [title='Month before']").click()
        assert found[0].accessible_name == named(day)
        found[0].click()
    wait_until(lambda: query_of(page).get("from") == str(first))
    assert query_of(page)["to"] == str(last + timedelta(days=1))
    loaded(page)
    start, end = (
        datetime(day.year, day.month, day.day, tzinfo=zone)
        for day in (first, last + timedelta(days=1))
    )
    check_totals(page, within(start, end))

    page.one("#range").click()
    at = page.one("#calendar [tabindex='0']")
    assert at.get_attribute("aria-label") == named(last)
    page.script("arguments[0].focus()", at)
    days = {
        Keys.ARROW_LEFT: last - timedelta(days=1),
        Keys.ARROW_UP: last - timedelta(days=8),
        Keys.ARROW_RIGHT: last - timedelta(days=7),
        Keys.ARROW_DOWN: last,
        Keys.HOME: last - timedelta(days=last.weekday()),
        Keys.END: last + timedelta(days=6 - last.weekday()),
    }
    for key, day in days.items():
        page.driver.switch_to.active_element.send_keys(key)
        assert focused_day(page) == named(day)
    page.driver.switch_to.active_element.send_keys(Keys.PAGE_UP)
    before = datetime.strptime(focused_day(page), "%A, %B %d, %Y").date()
    sunday = days[Keys.END]
    assert (before.year * 12 + before.month) == sunday.year * 12 + sunday.month - 1
    page.driver.switch_to.active_element.send_keys(Keys.PAGE_DOWN)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    begun = datetime.strptime(focused_day(page), "%A, %B %d, %Y").date()
    assert page.one("#calendar-hint").text.endswith("choose the last day.")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.one("#range-panel").is_displayed()
    assert page.script("return document.activeElement.id") == "range"
    assert query_of(page)["from"] == str(first), "half a range is none"
    page.one("#range").click()
    page.script("document.querySelector(`#calendar [tabindex='0']`).focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_UP)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    wait_until(lambda: query_of(page)["from"] == str(last - timedelta(days=7)))
    assert begun >= last - timedelta(days=3)
    loaded(page)


@pytest.mark.slow
@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_on_which_the_clocks_are_changed(
    page: Page, live: Analytics, day: str, hours: int
) -> None:
    """The page asks for it, and for the day before, from midnight to midnight in Berlin."""
    zone = ZoneInfo("Europe/Berlin")
    first = date.fromisoformat(day)
    before, start, end = (
        datetime(each.year, each.month, each.day, tzinfo=zone)
        for each in (first + timedelta(days=offset) for offset in (-1, 0, 1))
    )
    assert end.timestamp() - start.timestamp() == hours * 3600
    visit(page, live, f"?from={day}&to={end.date()}&timezone=Europe/Berlin")
    names: list[str] = page.script(
        "return performance.getEntriesByType('resource').map(({name}) => name)"
    )
    asked = {
        (query["from"][0], query["to"][0])
        for name in names
        if "/analytics/overview?" in name and "from" in (query := parse_qs(urlsplit(name).query))
    }
    assert asked == {
        (oracle.utc(start), oracle.utc(end)),
        (oracle.utc(before), oracle.utc(start)),
    }
