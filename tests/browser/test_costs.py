"""What campaigns cost, in a browser: the table, its totals, the file of it."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from selenium.webdriver.support.ui import Select

from tests.support import oracle
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import (
    NOW,
    card,
    loaded,
    midnight,
    number,
    query_of,
    rows_of,
    visit,
    within,
)
from tests.support.net import wait_until

pytestmark = pytest.mark.slow


def test_what_campaigns_cost(page: Page, live: Analytics) -> None:
    """What is not known is a dash; the totals are of what is known; by campaign and by source."""
    some = within(midnight(6), NOW + timedelta(minutes=2), source="facebook")
    of = oracle.grouped((fact for fact in some if fact.campaignId), lambda fact: fact.campaignId)
    [known, *others] = sorted(of)
    with psycopg.connect(live.owner_url) as connection:
        for day in range(9):
            connection.execute(
                "INSERT INTO workspace.spend VALUES (%s, 'facebook', %s, 10.50)",
                [midnight(day).date(), known],
            )
    visit(page, live, "?view=costs&range=7d")
    wait_until(lambda: rows_of(page, "costs", "tbody"))
    shown = {
        cells[0].removesuffix("Facebook").strip(): cells
        for cells in rows_of(page, "costs", "tbody")
    }
    assert set(shown) == set(of)
    spend = Decimal("10.50") * 7
    clicks = sum(fact.eventType == "ad.click" for fact in of[known])
    _, spent, clicked, bought, revenue, per_click, _, returned = shown[known]
    assert spent.split()[0] == "73.50"
    assert spent.split()[1].startswith("+")  # two days of spend are in the seven before
    assert (number(clicked.split()[0]), number(bought.split()[0])) == (
        clicks,
        oracle.purchases(of[known]),
    )
    assert number(revenue.split()[0]) == oracle.amount(of[known])
    assert number(per_click.split()[0]) == (spend / clicks).quantize(Decimal("0.01"))
    assert returned.split()[0] == f"{oracle.amount(of[known]) / spend:.2f}"
    for name in others:
        assert [shown[name][place] for place in (1, 5, 6, 7)] == ["\u2013"] * 4
    [total] = rows_of(page, "costs", "tfoot")
    assert total[0] == "Total"
    assert total[1].split()[0] == "73.50"
    assert number(total[4].split()[0]) == sum(map(oracle.amount, of.values()))
    assert total[7].split()[0] == returned.split()[0]
    subtitle = page.one(card("costs", "[data-sub]")).text
    assert "Spend by whole days of UTC" in subtitle
    assert f"{len(others)} campaigns without spend" in subtitle

    page.one(card("costs", "[title='Download as CSV']")).click()
    lines = list(csv.DictReader(io.StringIO(page.download("costs_*.csv"))))
    assert {line["campaignId"] for line in lines} == set(of)
    assert [line["spend"] for line in lines if line["campaignId"] == known] == ["73.50"]
    assert {line["spend"] for line in lines if line["campaignId"] != known} == {""}

    Select(page.one("#costs")).select_by_value("source")
    wait_until(
        lambda: [row[0] for row in rows_of(page, "costs", "tbody")] == ["Facebook", "TikTok"]
    )
    loaded(page)
    assert query_of(page)["costs"] == "source"
    [facebook, tiktok] = rows_of(page, "costs", "tbody")
    assert number(facebook[4].split()[0]) == oracle.amount(some)
    assert tiktok[1] == "\u2013"
