"""The dashboard in a browser: how tests open and read it, and the events that it shows them."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics
from tests.support.browser import Page
from tests.support.net import wait_until
from tests.support.oracle import Fact
from tests.support.stored_events import compact_deltas, generated, store

NOW = datetime.now(UTC)
EVENTS = generated(3000, seed=11, mix=Mix(days=20, users=400), until=NOW)
FACTS = oracle.facts(EVENTS)


@contextmanager
def with_events(
    postgres: EmbeddedPostgres, template: str, folder: Path, **environment: str
) -> Generator[Analytics]:
    """Run the function over `EVENTS` until the block ends; `FACTS` are theirs."""
    with analytics(postgres, template, folder, **environment) as function:
        store(function.owner_url, EVENTS)
        FACTS[:] = oracle.facts(EVENTS)  # a test file may have added to them, and to its database
        compact_deltas(function.owner_url)
        yield function


def visit(page: Page, live: Analytics, query: str = "") -> None:
    page.driver.get(f"{live.function.url}/{query}")
    loaded(page)


def loaded(page: Page, how: str = "yes") -> None:
    wait_until(
        lambda: page.script(
            "return document.documentElement.dataset.loaded === arguments[0]"
            " && !document.querySelector('[aria-busy=true], .stale')",
            how,
        ),
        60,
    )


def rows_of(page: Page, name: str, part: str = "") -> list[list[str]]:
    """Return the texts of the rows of a card's table, or of a part of it such as `tbody`."""
    # in one step: rows are replaced whenever figures come in
    return page.script(
        "return [...document.querySelectorAll(arguments[0])].map("
        "row => [...row.cells].map(cell => cell.innerText.trim()))",
        card(name, f"{part} tr"),
    )


def within(start: datetime, end: datetime, **filters: str) -> list[Fact]:
    return oracle.chosen(FACTS, {"from": oracle.utc(start), "to": oracle.utc(end), **filters})


def midnight(days_ago: int) -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago)


def total(page: Page, name: str) -> str:
    # in one step: the element is replaced whenever figures come in
    return page.script(
        "return document.querySelector(arguments[0])?.dataset.value ?? ''", f"[data-total={name}]"
    )


def check_totals(page: Page, some: list[Fact]) -> None:
    assert total(page, "events") == str(len(some))
    assert total(page, "purchases") == str(oracle.purchases(some))
    assert Decimal(total(page, "revenue")) == oracle.amount(some)
    users = oracle.users(some)
    assert abs(int(total(page, "uniqueUsers")) - users) <= 0.05 * users


def shows(page: Page, **filters: str) -> list[Fact]:
    """Wait until the page shows the events that some filters choose, and return those."""
    some = oracle.chosen(FACTS, filters)
    wait_until(lambda: total(page, "events") == str(len(some)))
    loaded(page)
    return some


def query_of(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.driver.current_url).query))


def card(name: str, selector: str) -> str:
    return f"[data-card={name}] {selector}"


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))
