"""axe has nothing to say: every view, full, empty and without its database, in both themes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import axe
from tests.support.analytics import Analytics, analytics
from tests.support.browser import Page
from tests.support.dashboard import card, loaded, midnight, visit
from tests.support.local_gateway import running_gateway
from tests.support.net import wait_until

SETTINGS = {"ANALYTICS_WRITE_AUTH": "none"}
pytestmark = pytest.mark.slow

VIEWS = ("overview", "funnels", "retention", "costs", "events")


@pytest.fixture(autouse=True)
def still(page: Page) -> None:
    """Without movement: colours in between are nobody's."""
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]},
    )


@pytest.mark.parametrize("view", VIEWS)
def test_a_full_view(page: Page, live: Analytics, view: str) -> None:
    visit(page, live, f"?range=30d&view={view}&country=US&filter=gender:isSet")
    axe.check(page, view)
    buttons = [
        button
        for button in page.all("[title='Show as a table']")
        if button.is_displayed() and button.is_enabled()
    ]
    for button in buttons:
        button.click()
    if buttons:
        axe.check(page, f"{view}, as tables")


def open_calendar(page: Page) -> None:
    page.one("#range").click()
    page.one("#exact-times summary").click()


def open_notes(page: Page) -> None:
    page.one("#notes summary").click()
    wait_until(lambda: page.all("#notes-list li"))
    page.one(".foot summary").click()


def open_saved(page: Page) -> None:
    page.one("#saved").click()
    wait_until(lambda: page.all("[data-view-name]") and page.all("[data-link]"))


def open_event(page: Page) -> None:
    page.one(card("latest", "tbody button")).click()
    wait_until(lambda: page.all("#drawer pre"))


def open_person(page: Page) -> None:
    open_event(page)
    page.one("#event-person").click()
    wait_until(lambda: page.all("#drawer .timeline li"))


@pytest.mark.parametrize(
    "open_it", [open_calendar, open_notes, open_saved, open_event, open_person]
)
def test_what_opens(page: Page, live: Analytics, open_it: Callable[[Page], None]) -> None:
    """The calendar, annotations and definitions, views and links, an event, a person."""
    note = {"time": midnight(2).isoformat(), "label": "Release"}
    for name, body in (
        ("annotations", note),
        ("views", {"name": open_it.__name__, "query": "range=all"}),
        ("shares", {"name": "Agency", "filters": {"source": "tiktok"}, "days": 7}),
    ):
        assert live.client.post(f"/analytics/{name}", json=body).status_code == 200
    visit(page, live, "?range=7d&interval=day")
    open_it(page)
    axe.check(page, open_it.__name__)


def test_an_empty_database(
    page: Page, postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    with analytics(postgres, migrated_template, tmp_path) as empty:
        for view in VIEWS:
            visit(page, empty, f"?view={view}")
            wait_until(lambda: page.one("#start").is_displayed())
            assert page.one("#start h2").text == "Send your first event"
            axe.check(page, f"{view}, empty")
        page.driver.get("about:blank")  # it asks all the time


def test_a_database_that_is_away(
    page: Page, postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    with analytics(postgres, migrated_template, tmp_path, DB_POOL_TIMEOUT="0.5") as function:
        with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
            with psycopg.connect(function.owner_url) as owner:
                name = owner.info.dbname
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
        for view in VIEWS:
            page.driver.get(f"{function.function.url}/?view={view}")
            loaded(page, "away")
            axe.check(page, f"{view}, away")
        page.driver.get("about:blank")  # it would go on asking
        assert all("503" in message for message in page.errors())


def test_a_report_that_fails(page: Page, live: Analytics) -> None:
    for view in VIEWS:
        page.driver.get(f"{live.function.url}/?view={view}&source=myspace")
        loaded(page, "partly")
        axe.check(page, f"{view}, failed")
    assert all("422" in message for message in page.errors())


def test_swagger_ui(page: Page, live: Analytics) -> None:
    page.driver.get(live.function.url + "/api")
    wait_until(lambda: page.all(".opblock-summary"), 60)
    for kind in ("get", "put"):
        page.one(f".opblock-{kind} .opblock-summary-control").click()
    wait_until(lambda: len(page.all(".execute")) > 1)
    wait_until(lambda: page.all("textarea[aria-label]"))
    axe.check(page, "operations")
    fonts: list[str] = page.script(
        "return ['body', '.opblock-tag', '.btn', '.renderedMarkdown p', '.info .title']"
        ".map((one) => getComputedStyle(document.querySelector(one)).fontFamily)"
    )
    assert len(set(fonts)) == 1, "it has the typeface of the other pages"


async def test_the_platform_page(page: Page, tmp_path: Path, nats_url: str) -> None:
    async with running_gateway(tmp_path, nats_url=nats_url) as gateway:
        await gateway.deploy()
        await gateway.call()
        login = f"admin:{gateway.server.password}@"
        url = gateway.url.replace("http://", f"http://{login}") + "/ui/"

        def look() -> None:
            page.driver.get(url)
            wait_until(lambda: page.texts("#connection") == ["live"])
            wait_until(lambda: page.all("#events tbody tr"))
            axe.check(page, "the platform page")
            page.size(1280, 900)
            wait_until(lambda: not page.one("#functions-title ~ .scroll-hint").is_displayed())
            page.one("#invoke button").click()
            wait_until(lambda: page.one("#response").is_displayed())
            axe.check(page, "an answer")
            assert page.one("#functions-title ~ .scroll-hint").is_displayed(), "it is narrow now"
            page.driver.get("about:blank")  # it asks all the time

        await asyncio.to_thread(look)
