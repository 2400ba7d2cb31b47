"""What happened, marked on the curves, and listed below them."""

from datetime import timedelta

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import card, loaded, midnight, visit
from tests.support.net import wait_until

SETTINGS = {"ANALYTICS_WRITE_AUTH": "none"}
pytestmark = pytest.mark.slow


def labels(page: Page, name: str) -> list[str]:
    return page.texts(card(name, ".note-label"))


def test_what_happened_is_on_the_curves_and_in_a_list(page: Page, live: Analytics) -> None:
    for days, label in ((3, "Release 4.2"), (3, "Newsletter"), (60, "Long ago")):
        at = midnight(days) + timedelta(hours=9)
        body = {"time": at.isoformat(), "label": label}
        assert live.client.post("/analytics/annotations", json=body).status_code == 200
    visit(page, live, "?range=7d&interval=day")
    for name in ("events-over-time", "revenue-over-time"):
        [label] = labels(page, name)
        assert label.endswith(" +1")
        assert len(page.all(card(name, "line.note"))) == 1
    assert page.one("#notes summary").text == "Annotations (2)"
    page.one("#notes summary").send_keys(Keys.ENTER)
    wait_until(lambda: len(page.all("#notes-list li")) == 2)

    time = str(page.one("#notes [name=time]").get_attribute("value"))
    page.one("#notes [name=label]").send_keys("Just now", Keys.ENTER)
    wait_until(lambda: len(page.all("#notes-list li")) == 3)
    loaded(page)
    assert len(labels(page, "events-over-time")) == 2
    assert "Just now" in page.one("#notes-list li:last-child").text
    assert live.report("annotations")["items"][-1]["time"] == f"{time}:00Z"
    for left in (2, 1, 0):
        page.one("#notes-list li button").click()
        wait_until(lambda left=left: len(page.all("#notes-list li")) == left)
        loaded(page)
    assert labels(page, "events-over-time") == []
    assert page.one("#notes summary").text == "Annotations"
