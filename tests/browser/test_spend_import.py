"""What was spent, imported on the page: what it would do, what was taken, what is wrong by line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import loaded, midnight, rows_of, visit, with_events
from tests.support.net import wait_until
from tests.support.secrets import analytics_keys

pytestmark = pytest.mark.slow

DROP = """
const [zone, name, text] = arguments;
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([text], name, {type: "text/csv"}));
for (const kind of ["dragover", "drop"]) {
  zone.dispatchEvent(new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true}));
}
"""


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    with with_events(
        postgres, migrated_template, folder, SECRETS_DIR=analytics_keys(folder / "secrets")
    ) as function:
        yield function


def said(page: Page) -> str:
    return " ".join(page.texts("#spend-said"))


def spent(page: Page) -> dict[str, str]:
    """Return the spend of each campaign, without its change."""
    rows = rows_of(page, "costs", "tbody")
    return {cells[0].split()[0]: cells[1].split()[0] for cells in rows if cells[1] != "\u2013"}


def test_spend_is_imported_on_the_page(page: Page, live: Analytics, tmp_path: Path) -> None:
    def chosen(name: str, *lines: str) -> None:
        file = tmp_path / name
        file.write_text("\n".join(("date,source,campaignId,amount", *lines)) + "\n")
        page.one("#spend-file").send_keys(str(file))

    day, other = midnight(2).date(), midnight(1).date()
    page.script("sessionStorage.setItem('universe-api-key', 'read')")
    visit(page, live, "?view=costs&range=7d")
    page.one("#spend summary").send_keys(Keys.ENTER)
    wait_until(lambda: page.all("#spend-file"))
    assert "the last import wins" in page.one("#spend").text

    # who may only read is asked for another key, and need not choose the file again
    chosen("spend.csv", f"{day},facebook,campaign-01,10.50", f"{other},facebook,campaign-01,1")
    wait_until(lambda: "may only read" in said(page))
    assert all("403" in message for message in page.errors())
    page.one("#spend-said button").click()
    page.one("#key").send_keys("write", Keys.ENTER)
    wait_until(lambda: "spend.csv is right. It would bring: 2 new." in said(page))
    loaded(page)
    assert spent(page) == {}, "nothing is stored before it is confirmed"
    page.one("#spend-take").click()
    wait_until(lambda: "Imported spend.csv: 2 new." in said(page))
    wait_until(lambda: spent(page) == {"campaign-01": "11.50"})

    # a file is taken as a whole or not at all; each fault has its line
    chosen("wrong.csv", f"{day},facebook,campaign-02,5", f"{day},facebook,campaign-01,ten", "x,y")
    wait_until(lambda: "Nothing of wrong.csv was taken" in said(page))
    assert page.texts("#spend-said li") == [
        "line 3, amount: Expected an amount such as 120.50",
        "line 4: 2 cells, but the header has 4",
    ]
    assert not page.all("#spend-take")
    assert all("422" in message for message in page.errors())

    # dropped; of a day, source and campaign the last import wins
    text = f"date,source,campaignId,amount\n{day},facebook,campaign-01,20\n"
    page.script(DROP, page.one("#spend-drop"), "dropped.csv", text)
    wait_until(lambda: "dropped.csv is right. It would bring: 1 changed." in said(page))
    page.one("#spend-take").click()
    wait_until(lambda: spent(page) == {"campaign-01": "21.00"})
    loaded(page)
    assert "Imported dropped.csv: 1 changed." in said(page)
