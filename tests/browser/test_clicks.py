"""Every row and every bar of every view can be clicked: a filter, a range, or all of the event."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import card, loaded, query_of, visit
from tests.support.net import wait_until

SETTINGS = {"ANALYTICS_WRITE_AUTH": "none"}
pytestmark = pytest.mark.slow

REST = ("Unattributed", "All", "others", "more")
"""How rows begin or end that are of no value: nothing can be filtered by them."""

UNCLICKABLE = """
const rest = arguments[0];
return [...document.querySelectorAll("[data-card] tbody tr")].filter((row) => row.checkVisibility())
  .filter((row) => !row.querySelector("button"))
  .map((row) => row.cells[0].innerText.trim())
  .filter((name) => !rest.some((one) => name.startsWith(one) || name.endsWith(one)));
"""
UNEXPLAINED = """
return [...document.querySelectorAll("[data-card] thead th.number")]
  .filter((head) => head.checkVisibility() && !head.title).map((head) => head.innerText);
"""
CARDS = """
return [...new Set([...document.querySelectorAll("[data-card] tbody button")]
  .filter((button) => button.checkVisibility())
  .map((button) => button.closest("[data-card]").dataset.card))];
"""


@pytest.fixture(scope="module")
def live(live: Analytics) -> Analytics:
    """The function, which knows what was spent."""
    day = live.report("timeseries", interval="day")["series"][0]["points"][-3]["time"][:10]
    body = f"date,source,campaignId,amount\n{day},facebook,campaign-01,10\n"
    sent = live.client.put("/analytics/spend", content=body, headers={"Content-Type": "text/csv"})
    assert sent.status_code == 200
    return live


def as_tables(page: Page) -> None:
    page.script(
        "for (const one of document.querySelectorAll(`[title='Show as a table']`))"
        " if (one.checkVisibility() && !one.disabled) one.click()"
    )


@pytest.mark.parametrize(
    "query",
    ["", "view=funnels&each=source", "view=retention&by=source", "view=costs", "view=events"],
)
def test_every_row_can_be_clicked(page: Page, live: Analytics, query: str) -> None:
    """Of each card of a view, drawn and as a table, the first row is clicked.

    What a figure means is said on hover.
    """
    address = f"?range=30d&compare=none&{query}".rstrip("&")
    visit(page, live, address)
    for change in (lambda _: None, as_tables):
        change(page)
        assert page.script(UNCLICKABLE, REST) == []
        assert page.script(UNEXPLAINED) == []
        names = page.script(CARDS)
        assert names
        for name in names:
            visit(page, live, address)
            change(page)
            before = query_of(page)
            page.script("document.querySelector(arguments[0]).click()", card(name, "tbody button"))
            wait_until(lambda b=before: query_of(page) != b or page.all("#drawer[open]"))
            loaded(page)
        visit(page, live, address)


def test_bars_lead_to_what_is_behind_them(page: Page, live: Analytics) -> None:
    """A step of a funnel to its events, the last minutes to theirs."""
    visit(
        page, live, "?range=30d&view=funnels&steps=facebook:ad.view;gender:is:female~stage:bottom"
    )
    page.one(card("steps", ".steps li:first-child button")).send_keys(Keys.ENTER)
    wait_until(lambda: query_of(page).get("view") == "events")
    loaded(page)
    assert {text.partition(" \u00d7")[0] for text in page.texts("#chips .chip")} == {
        "Source: Facebook",
        "Event: Ad view",
        "Gender: Female",
    }
    visit(page, live)
    wait_until(lambda: page.one("#now").is_displayed())
    page.one("#now").click()
    wait_until(lambda: query_of(page).get("view") == "events")
    assert {"from", "to"} <= query_of(page).keys()
    loaded(page)
