"""The page within a page of another site: only where that is allowed, and with a link's limits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import HANDLER, Analytics
from tests.support.browser import Page
from tests.support.dashboard import card, check_totals, loaded, shows, with_events
from tests.support.functions import running
from tests.support.net import wait_until
from tests.support.secrets import analytics_keys

pytestmark = pytest.mark.slow


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A site of another origin: the folder of its pages, and its address."""
    folder = tmp_path_factory.mktemp("site")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # another host name as well: browsers keep apart what they store
        yield folder, f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres,
    migrated_template: str,
    site: tuple[Path, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Analytics]:
    folder = tmp_path_factory.mktemp("analytics")
    options = {
        "SECRETS_DIR": analytics_keys(folder / "secrets"),
        "ANALYTICS_EMBED_ORIGINS": site[1],
    }
    with with_events(postgres, migrated_template, folder, **options) as function:
        yield function


@contextmanager
def framed(page: Page, site: tuple[Path, str], address: str) -> Iterator[None]:
    """Show an address in a frame of the other site; within the block the frame is looked at."""
    folder, url = site
    frame = f'<iframe src="{address}" width="1300" height="900"></iframe>'
    (folder / "index.html").write_text(f"<!doctype html><title>Intranet</title>{frame}")
    page.driver.get(f"{url}/index.html")
    page.driver.switch_to.frame(page.one("iframe"))
    try:
        yield
    finally:
        page.driver.switch_to.default_content()


def test_a_link_works_in_a_frame_and_can_do_no_more(
    page: Page, live: Analytics, site: tuple[Path, str]
) -> None:
    body = {"name": "Agency", "filters": {"source": "tiktok"}, "days": 7}
    made = live.client.post("/analytics/shares", json=body, headers={"X-Api-Key": "write"})
    token = made.json()["token"]
    with framed(page, site, f"{live.function.url}/?range=all#share={token}"):
        wait_until(lambda: page.script("return document.documentElement.dataset.shared") == "yes")
        loaded(page)
        check_totals(page, shows(page, source="tiktok"))
        assert page.all(card("revenue-over-time", ".line, .bar"))
        for hidden in ("#saved", ".views", card("latest", "h2"), card("breakdown", "h2")):
            assert not page.one(hidden).is_displayed()
        page.one("#theme").click()  # whatever the browser lets a frame store
        statuses: list[int] = page.driver.execute_async_script(
            """
            const [token, done] = arguments;
            const ask = (path, how = {}) => fetch(`analytics/${path}`,
              {...how, headers: {"X-Share-Token": token, "Content-Type": "application/json"}});
            Promise.all([
              ask("overview?source=facebook"), ask("events"), ask("users"), ask("shares"),
              ask("shares", {method: "POST", body: "{}"}), ask("overview"),
            ]).then((all) => done(all.map(({status}) => status)));
            """,
            token,
        )
        assert statuses[:5] == [403, 403, 403, 403, 401]
        assert statuses[5] == 200
    assert all(" 40" in message for message in page.errors())


def test_a_site_that_is_not_allowed_shows_nothing(
    page: Page, live: Analytics, site: tuple[Path, str], tmp_path: Path
) -> None:
    """Both headers say so, of the page and of the API's; with a setting, all others are refused."""
    variables = {"DATABASE_READER_URL": live.owner_url}
    with running(HANDLER, tmp_path / "log", **variables) as closed:
        for url, path in ((closed.url, "/"), (closed.url, "/api"), (live.function.url, "/api")):
            headers = live.client.get(url + path).headers
            assert headers["X-Frame-Options"] == "SAMEORIGIN"
            assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
        # the older header knows no list: with one it would refuse what the list allows
        allowed = live.client.get("/").headers
        assert "X-Frame-Options" not in allowed
        assert allowed["Content-Security-Policy"].endswith(f"frame-ancestors 'self' {site[1]}")
        other = site[1].replace("localhost", "127.0.0.1")
        for of, address in ((site[1], f"{closed.url}/"), (other, f"{live.function.url}/")):
            with framed(page, (site[0], of), address):
                wait_until(lambda: page.script("return location.href").startswith("chrome-error:"))
                assert not page.all("#totals")
            assert any("frame" in message for message in page.errors())
