"""The dashboard over stored events, in a browser that a test file shares."""

from collections.abc import Iterator

import pytest

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import Analytics
from tests.support.browser import Page, browser
from tests.support.dashboard import with_events


@pytest.fixture(scope="module")
def live(
    request: pytest.FixtureRequest,
    postgres: EmbeddedPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Analytics]:
    """The function over stored events, with the `SETTINGS` of the test file, if it has any."""
    folder = tmp_path_factory.mktemp("analytics")
    settings: dict[str, str] = getattr(request.module, "SETTINGS", {})
    with with_events(postgres, migrated_template, folder, **settings) as function:
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
