"""The dashboard over stored events, in a browser that a test file shares."""

from collections.abc import Iterator

import pytest

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support import oracle
from tests.support.analytics import Analytics, analytics
from tests.support.browser import Page, browser
from tests.support.dashboard import EVENTS, FACTS
from tests.support.stored_events import compact_deltas, store


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    with analytics(postgres, migrated_template, tmp_path_factory.mktemp("analytics")) as function:
        store(function.owner_url, EVENTS)
        FACTS[:] = oracle.facts(EVENTS)  # a test file may have added to them, and to its database
        compact_deltas(function.owner_url)
        yield function


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(window: Page, live: Analytics) -> Iterator[Page]:
    """The browser as if it had never been here."""
    window.size(1400, 1000)
    window.driver.get(live.function.url + "/health/liveness")
    window.script("localStorage.clear(); sessionStorage.clear()")
    for file in window.downloads.iterdir():
        file.unlink()
    window.errors()
    yield window
    window.block()
    errors = window.errors()
    window.driver.get("about:blank")
    assert errors == []
