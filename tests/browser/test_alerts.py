"""Alerts and summaries in the dialog of views, on the dashboard of a function that writes."""

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import visit
from tests.support.net import wait_until

SETTINGS = {"ANALYTICS_WRITE_AUTH": "none"}
pytestmark = pytest.mark.slow


def test_an_alert_is_made_of_the_filters_tried_and_deleted(page: Page, live: Analytics) -> None:
    visit(page, live, "?range=all&source=tiktok&filter=device:is:iOS")
    page.one("#saved").click()
    wait_until(lambda: page.all("#make-alert"))
    Select(page.one("#make-alert [name=figure]")).select_by_value("conversionRate")
    Select(page.one("#make-alert [name=condition]")).select_by_value("below")
    page.one("#make-alert [name=value]").clear()
    page.one("#make-alert [name=value]").send_keys("4.5")
    page.one("#make-alert [name=name]").send_keys("Too few buy")
    to = "a@example.com, https://hooks.example.com/secret"
    page.one("#make-alert [name=to]").send_keys(to, Keys.ENTER)
    wait_until(lambda: page.all("[data-alert='Too few buy']"))
    [made] = live.report("alerts")["items"]
    assert made["rule"] == {
        "kind": "figure",
        "figure": "conversionRate",
        "interval": "day",
        "condition": "below",
        "value": "0.045",
        "filters": {"source": "tiktok", "filter": ["device:is:iOS"]},
    }
    [text] = page.texts("[data-alert='Too few buy']")
    assert "Conversion is below 4.5 % on a day, of device:is:iOS, source tiktok" in text
    assert "a@example.com, https://hooks.example.com/…" in text
    assert "not judged yet" in text

    page.one("[aria-label='Send a test of Too few buy']").click()
    wait_until(lambda: "2 to be sent" in "".join(page.texts("[data-alert='Too few buy']")))
    page.one("#make-summary [name=name]").send_keys("Mondays")
    page.one("#make-summary [name=to]").send_keys("all@example.com", Keys.ENTER)
    wait_until(lambda: page.all("[data-alert=Mondays]"))
    assert "Summary every Monday at 08:00" in "".join(page.texts("[data-alert=Mondays]"))
    page.one("#make-summary [name=name]").send_keys("Mondays")
    page.one("#make-summary [name=to]").send_keys("all@example.com", Keys.ENTER)
    wait_until(lambda: "Another alert is called so" in "".join(page.texts("#saved-error")))
    assert all("422" in message for message in page.errors())
    for name in ("Mondays", "Too few buy"):
        page.one(f"[aria-label='Delete the alert {name}']").click()
        wait_until(lambda name=name: not page.all(f"[data-alert='{name}']"))
    assert live.report("alerts")["items"] == []
