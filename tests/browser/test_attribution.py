"""What brought the revenue, in a browser: models, windows, the file of it."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from selenium.webdriver.support.ui import Select

from tests.support import oracle
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import (
    FACTS,
    NOW,
    card,
    loaded,
    midnight,
    number,
    query_of,
    rows_of,
    visit,
)
from tests.support.dashboard import within as happened
from tests.support.net import wait_until

pytestmark = pytest.mark.slow


def shown(page: Page, part: str = "tbody") -> dict[str, Decimal]:
    """Return the revenue of each row, without its change."""
    return {
        " ".join(cells[0].split()): number(cells[1].split()[0])
        for cells in rows_of(page, "attribution", part)
    }


def expected(model: str, days: int, by: str) -> dict[str, Decimal]:
    bought = happened(midnight(6), NOW + timedelta(minutes=2))
    of = oracle.attributed(FACTS, bought, model, timedelta(days=days), by)
    names = {"facebook": "Facebook", "tiktok": "TikTok"}

    def name(key: Any) -> str:
        if key is None:
            return "Unattributed"
        return f"{key[1]} {names[key[0]]}" if key[1] else names[key[0]]

    nothing = (Decimal(), Decimal())
    return {
        name(key): revenue.quantize(Decimal("0.01"))
        for key, (_, revenue) in {None: nothing, **of}.items()
    }


def close(some: dict[str, Decimal], others: dict[str, Decimal]) -> bool:
    """Return whether figures are the same, but for how half a cent is rounded."""
    return some.keys() == others.keys() and all(
        abs(some[key] - others[key]) <= Decimal("0.01") for key in some
    )


def test_what_brought_the_revenue(page: Page, live: Analytics) -> None:
    """Each model, another window, by source; all in the address; what has no touch is a row."""
    revenue = oracle.amount(happened(midnight(6), NOW + timedelta(minutes=2)))
    visit(page, live, "?view=costs&range=7d")
    wait_until(lambda: rows_of(page, "attribution", "tbody"))
    assert shown(page) == expected("last", 7, "campaign")
    assert list(shown(page))[-1] == "Unattributed"
    [[name, total, purchases, share]] = rows_of(page, "attribution", "tfoot")
    assert (name, number(total.split()[0]), share) == ("Total", revenue, "100%")
    assert int(purchases.split()[0]) == oracle.purchases(
        happened(midnight(6), NOW + timedelta(minutes=2))
    )
    assert "within 7 days" in page.one(card("attribution", "[data-sub]")).text

    Select(page.one("#model")).select_by_value("first")
    wait_until(lambda: shown(page) == expected("first", 7, "campaign"))
    loaded(page)
    Select(page.one("#lookback")).select_by_value("30d")
    Select(page.one("#model")).select_by_value("linear")
    wait_until(lambda: close(shown(page), expected("linear", 30, "campaign")))
    loaded(page)
    assert {"model": "linear", "lookback": "30d"}.items() <= query_of(page).items()

    page.one(card("attribution", "[title='Download as CSV']")).click()
    lines = list(csv.DictReader(io.StringIO(page.download("attribution_*.csv"))))
    assert sum(Decimal(line["attributedRevenue"]) for line in lines) == revenue
    assert lines[-1]["campaignId"] == "Unattributed"
    assert any("." in line["purchases"] for line in lines)

    Select(page.one("#attribution")).select_by_value("source")
    wait_until(lambda: close(shown(page), expected("linear", 30, "source")))
    loaded(page)
    page.driver.refresh()
    loaded(page)
    assert close(shown(page), expected("linear", 30, "source"))
    assert Select(page.one("#model")).first_selected_option.get_attribute("value") == "linear"
    assert page.all(card("costs", "tbody tr"))
