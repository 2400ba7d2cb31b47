"""Views by name and read-only links, on the dashboard of a function with keys."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import Analytics
from tests.support.browser import Page
from tests.support.dashboard import (
    card,
    check_totals,
    loaded,
    query_of,
    shows,
    total,
    visit,
    with_events,
)
from tests.support.net import wait_until
from tests.support.secrets import analytics_keys

pytestmark = pytest.mark.slow

VIEWS = "#saved-dialog [data-view-name] .link"
SUMS = {"overview", "timeseries", "funnel", "revenue", "countries", "campaigns", "demographics"}


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    options = {
        "SECRETS_DIR": analytics_keys(folder / "secrets"),
        "ANALYTICS_EMBED_ORIGINS": "https://intranet.example https://*.agency.example:8443",
    }
    with with_events(postgres, migrated_template, folder, **options) as function:
        yield function


def with_key(page: Page, key: str) -> None:
    page.script("sessionStorage.setItem('universe-api-key', arguments[0])", key)


def open_dialog(page: Page, selector: str) -> None:
    """Open it, and wait for a part of it: what was in it before is there until then, hidden."""
    page.one("#saved").click()
    wait_until(
        lambda: page.script(
            "return document.querySelector(arguments[0])?.checkVisibility() === true", selector
        )
    )


def follow(page: Page, link: str, how: str = "yes") -> None:
    """Open a link as somebody who has no page of ours open, and no key."""
    page.script("sessionStorage.clear()")
    page.driver.get("about:blank")
    page.driver.get(link)
    loaded(page, how)


def asked(page: Page) -> set[str]:
    names: list[str] = page.script(
        "return performance.getEntriesByType('resource').map(({name}) => name)"
    )
    paths = [urlsplit(name).path for name in names]
    return {path.rpartition("/")[2] for path in paths if "/analytics/" in path}


def test_views_are_saved_with_a_key_that_may_write(page: Page, live: Analytics) -> None:
    with_key(page, "read")
    visit(page, live, "?range=all&source=tiktok")
    open_dialog(page, "#save-view")
    page.one("#save-view input").send_keys("TikTok, ever", Keys.ENTER)
    wait_until(lambda: "may only read" in page.one("#saved-error").text)
    assert all("403" in message for message in page.errors())
    page.one("#saved-error button").click()
    page.one("#key").send_keys("write", Keys.ENTER)
    loaded(page)
    page.one("#save-view [type=submit]").click()
    wait_until(lambda: page.texts(VIEWS) == ["TikTok, ever"])
    page.one("#saved-dialog [aria-label='Rename TikTok, ever']").click()
    page.one("#saved-dialog [aria-label='New name']").send_keys("Ever, TikTok", Keys.ENTER)
    wait_until(lambda: page.texts(VIEWS) == ["Ever, TikTok"])
    page.one("#saved-dialog header button").click()

    page.one("#clear").click()
    shows(page)
    open_dialog(page, VIEWS)
    page.one(VIEWS).click()
    wait_until(lambda: query_of(page) == {"range": "all", "source": "tiktok"})
    shows(page, source="tiktok")
    open_dialog(page, VIEWS)
    page.one("#saved-dialog [aria-label^=Delete]").click()
    wait_until(lambda: not page.texts(VIEWS))


def test_a_link_shows_what_it_may_read_until_it_is_revoked(page: Page, live: Analytics) -> None:
    with_key(page, "write")
    visit(page, live, "?range=all&source=tiktok&filter=device:is:mobile")
    open_dialog(page, "#save-view")
    assert not page.all("#make-link")  # no link can be limited by a device
    page.one("#saved-dialog header button").click()
    visit(page, live, "?range=all&source=tiktok")
    open_dialog(page, "#make-link")
    page.one("#make-link input").send_keys("Agency", Keys.ENTER)
    wait_until(lambda: page.all("#made-link input"))
    link = str(page.one("#made-link input").get_attribute("value"))

    follow(page, link.replace("source=tiktok", "source=facebook&view=events&filter=city:is:Paris"))
    some = shows(page, source="tiktok")
    check_totals(page, some)
    assert "Agency: a read-only link to source TikTok" in page.one("#shared").text
    assert not page.one("#source").is_enabled()
    for hidden in ("#saved", ".views", "#clear", card("latest", "h2"), card("breakdown", "h2")):
        assert not page.one(hidden).is_displayed()
    assert not page.all(card("audience", "button.bar-pick"))
    Select(page.one("#split")).select_by_value("country")
    wait_until(lambda: query_of(page).get("split") == "country")
    loaded(page)
    page.one(card("countries", "button.bar-pick")).click()
    wait_until(lambda: query_of(page).get("country"))
    loaded(page)
    assert "#share=" in page.driver.current_url
    [chip] = page.texts("#chips li")
    assert chip.startswith("Country: " + page.one(card("countries", ".picked .bar-label")).text)
    page.one("#clear").click()
    wait_until(lambda: "country" not in query_of(page))
    shows(page, source="tiktok")
    assert asked(page) == {"share"} | SUMS
    assert page.errors() == []

    page.driver.get("about:blank")
    page.driver.get(live.function.url + "/health/liveness")
    with_key(page, "write")
    visit(page, live)
    open_dialog(page, "[aria-label='Revoke the link Agency']")
    page.one("[aria-label='Revoke the link Agency']").click()
    wait_until(lambda: not page.all("[data-link]"))
    follow(page, link, "partly")
    assert "not valid" in page.one("#shared").text
    assert total(page, "events") == ""
    assert asked(page) == {"share"}
    assert all("403" in message for message in page.errors())


def test_a_link_with_dates_shows_those_and_compares_with_nothing(
    page: Page, live: Analytics
) -> None:
    with_key(page, "write")
    visit(page, live, "?range=yesterday")
    open_dialog(page, "#make-link [name=dates]")
    events = total(page, "events")
    page.one("#make-link [name=dates]").click()
    page.one("#make-link input").send_keys("Yesterday", Keys.ENTER)
    wait_until(lambda: page.all("#made-link input"))
    link = str(page.one("#made-link input").get_attribute("value"))
    assert {"from", "to"} <= parse_qs(urlsplit(link).query).keys()
    follow(page, link)
    assert total(page, "events") == events
    assert not page.one("#compare").is_enabled()


def test_chosen_sites_may_show_the_page_in_a_frame(live: Analytics) -> None:
    policy = live.client.get("/").headers["Content-Security-Policy"]
    assert policy.endswith(
        "frame-ancestors 'self' https://intranet.example https://*.agency.example:8443"
    )
    assert "frame-ancestors 'self'" in live.client.get("/api").headers["Content-Security-Policy"]
    assert "intranet" not in live.client.get("/api").headers["Content-Security-Policy"]
