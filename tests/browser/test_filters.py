"""Filters by any property on the page: what is clicked, what is typed, and who is behind it."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.support import oracle
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import EVENTS, FACTS, card, check_totals, loaded, total, visit
from tests.support.net import wait_until
from tests.support.oracle import Fact

pytestmark = pytest.mark.slow


def filters_of(page: Page) -> list[str]:
    return parse_qs(urlsplit(page.driver.current_url).query).get("filter", [])


def with_groups(**groups: str) -> list[Fact]:
    return [fact for fact in FACTS if all(pair in fact.groups for pair in groups.items())]


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shows_events(page: Page, some: list[Fact]) -> None:
    wait_until(lambda: total(page, "events") == str(len(some)))
    loaded(page)
    check_totals(page, some)


def test_every_card_filters_by_what_is_clicked(page: Page, live: Analytics) -> None:
    """Series, bars, rows of tables and cells, by mouse and by keyboard."""
    clicks = (
        (card("events-over-time", ".series"), "source"),
        (card("funnel", ".series"), "source"),
        (card("countries", "tbody button"), "country"),
        (card("campaigns", "tbody button"), "campaign"),
        (card("breakdown", "tbody button"), "filter"),
        (card("audience", "tbody button"), "filter"),
        (card("latest", "tbody td:nth-child(2) button"), "filter"),
        (card("latest", "tbody td:nth-child(3) button"), "filter"),
    )
    for selector, name in clicks:
        visit(page, live, "?range=30d&compare=none")
        page.one(selector).send_keys(Keys.ENTER)
        wait_until(lambda name=name: f"{name}=" in page.driver.current_url)
        loaded(page)
        assert len(page.all("#chips .chip")) == 1, selector
    for name in ("funnel", "countries", "breakdown", "audience"):
        visit(page, live, "?range=30d&compare=none")
        page.one(card(name, "[title='Show as a table']")).click()
        page.script("document.querySelector(arguments[0]).click()", card(name, "tbody button"))
        wait_until(lambda: len(page.all("#chips .chip")) == 1)
        loaded(page)
    page.script("document.querySelector('#chips .chip').click()")
    wait_until(lambda: not page.all("#chips .chip"))
    loaded(page)


def test_values_and_people_are_found_by_typing(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=30d&compare=none")
    page.one("[data-view=events]").click()
    wait_until(lambda: page.all("#explorer-events tbody tr"))
    loaded(page)
    page.one("#filter-by").click()
    wait_until(
        lambda: (
            "data.engagement" in str(page.texts("#filter-names"))
            or page.all("#filter-names option[value=browser]")
        )
    )
    page.one("#filter-by").send_keys("ageGroup")
    Select(page.one("#filter-operator")).select_by_value("oneOf")
    page.one("#filter-value").click()
    wait_until(lambda: page.all("#filter-values option[value='25-34']"))
    page.one("#filter-value").send_keys("25-34,65+", Keys.ENTER)
    wait_until(lambda: filters_of(page) == ["ageGroup:oneOf:25-34,65+"])
    loaded(page)
    some = [*with_groups(ageGroup="25-34"), *with_groups(ageGroup="65+")]
    of_user = oracle.grouped(some, lambda fact: fact.userId)
    most = max(map(len, of_user.values()))
    assert page.texts("#explorer-people tbody tr td:nth-child(3)")[0] == str(most)
    left = page.one("#left-out").text if page.one("#left-out").is_displayed() else ""
    assert not left or "without age" in left

    page.one("#filter-by").send_keys("planet")
    page.one("#filter-value").send_keys("Mars", Keys.ENTER)
    wait_until(lambda: "Unknown property" in page.one("#filter-editor .field-error").text)
    assert all("422" in message for message in page.errors())

    user = page.texts("#explorer-people tbody th button")[0]
    page.one("#explorer-people tbody th button").click()
    did = [fact for fact in FACTS if fact.userId == user]
    for listed in range(min(50, len(did)), len(did) + 50, 50):
        number = counted(min(listed, len(did)), "event")
        wait_until(lambda number=number: number in page.one("#person-sums").text)
        if listed < len(did):
            page.script("document.querySelector('#drawer > .drawer-actions button').click()")
    bought = counted(oracle.purchases(did), "purchase")
    shown = f"{counted(len(did), 'event')}, {bought}, {oracle.amount(did):,.2f}"
    assert page.one("#person-sums").text == shown
    page.one("#drawer .timeline button").click()
    text = page.one("#drawer pre").text
    event = json.loads(text)
    sent = next(each for each in EVENTS if each["eventId"] == event["eventId"])
    assert event["data"] == sent["data"]
    assert page.one("#event-person").text == f"What {user} did"
    page.one("#drawer").send_keys(Keys.ESCAPE)
    wait_until(lambda: not page.one("#drawer").is_displayed())


def test_one_is_said_as_one(page: Page, live: Analytics) -> None:
    user = FACTS[-1].userId
    visit(page, live, f"?range=30d&view=retention&filter=userId:is:{user}")
    assert page.one(card("retention", "[data-sub]")).text.startswith("1 person by the week")
    visit(page, live, f"?range=30d&view=funnels&filter=userId:is:{user}")
    people = page.texts(card("steps", ".steps li p:first-child span"))
    assert {text.strip() for text in people} <= {"1 person", "0 people"}
    assert people
