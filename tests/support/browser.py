"""Chromium without a window, driven by Selenium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.net import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# the network of a test machine is closed: Chromium must not ask for anything by itself
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Page:
    """A page in the browser."""

    def __init__(self, driver: "Chrome", downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def script(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript in the page and return its result."""
        return self.driver.execute_script(code, *arguments)

    def one(self, selector: str) -> WebElement:
        """Return the element that a CSS selector finds first."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a CSS selector finds."""
        return self.script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the window a size in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def block(self, *patterns: str) -> None:
        """Let requests to some addresses fail; without patterns, let all pass again."""
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(patterns)})

    def errors(self) -> list[str]:
        """Return what the page wrote to its console since the last call, warnings and worse.

        Not about /favicon.ico, which the browser asks for by itself beside what is no page, late.
        """
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")  # pyright: ignore[reportUnknownMemberType]
            if entry["level"] in ("WARNING", "SEVERE") and "/favicon.ico" not in entry["message"]
        ]

    def download(self, pattern: str) -> str:
        """Wait for a file to be downloaded and return its text; it must not be empty."""

        def complete() -> Path | None:
            # the browser takes the name with an empty file, and puts the full one in its place
            return next(
                (file for file in self.downloads.glob(pattern) if file.stat().st_size), None
            )

        file = wait_until(complete, 30)
        assert file is not None
        return file.read_text(encoding="utf-8")


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Run Chromium with a fresh profile until the block ends."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("needs the Debian packages chromium and chromium-driver")
    # each worker of pytest imports this module, and one of them runs a browser
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, "--window-size=1400,1000", f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(chromedriver))
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
    )
    try:
        yield Page(driver, downloads)
    finally:
        driver.quit()
