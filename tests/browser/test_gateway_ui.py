"""The platform page in a real browser."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.support.local_gateway import RunningGateway, running_gateway

T = TypeVar("T")


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    driver = shutil.which("chromedriver")
    if not driver:
        pytest.skip("chromedriver is not installed")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture
async def gateway(tmp_path: Path, nats_url: str) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path, nats_url=nats_url) as running:
        yield running


async def open_page(browser: WebDriver, gateway: RunningGateway) -> None:
    login = f"admin:{gateway.server.password}@"
    url = gateway.url.replace("http://", f"http://{login}") + "/ui/"
    await asyncio.to_thread(browser.get, url)
    await shows(browser, "#connection", "live")


async def shows(browser: WebDriver, selector: str, text: str) -> None:
    """Wait until an element has the text in it."""

    def check(_: WebDriver) -> bool:
        return any(text in e.text for e in browser.find_elements(By.CSS_SELECTOR, selector))

    await until(browser, check)


async def until(browser: WebDriver, check: Callable[[WebDriver], T]) -> T:
    wait = WebDriverWait(browser, 30, 0.1, ignored_exceptions=[Exception])
    return await asyncio.to_thread(wait.until, check)


async def click(browser: WebDriver, selector: str) -> None:
    def press(_: WebDriver) -> bool:  # the table is renewed all the time
        browser.find_element(By.CSS_SELECTOR, selector).click()
        return True

    await until(browser, press)


async def test_functions_are_shown_scaled_and_invoked(
    browser: WebDriver, gateway: RunningGateway
) -> None:
    await gateway.deploy()
    await gateway.call()
    await open_page(browser, gateway)
    await shows(browser, "tr[data-function=echo]", "1 of 1")
    await shows(browser, "[data-stream=ASYNC_CALLS]", "0")
    await shows(browser, "#events", "deploy")

    await click(browser, "button[aria-label='echo: 2 replicas']")
    await shows(browser, "tr[data-function=echo]", "2 of 2")
    await click(browser, "button[aria-label='echo: 1 replicas']")
    await shows(browser, "tr[data-function=echo]", "1 of 1")
    await click(browser, "button[aria-label='echo: 0 replicas']")
    await shows(browser, "tr[data-function=echo]", "asleep")

    def fill() -> None:
        form = browser.find_element(By.ID, "invoke")
        Select(form.find_element(By.NAME, "method")).select_by_visible_text("POST")
        path = form.find_element(By.NAME, "path")
        path.clear()
        path.send_keys("/some/path?x=1")
        form.find_element(By.NAME, "body").send_keys('{"a": 1}')
        form.find_element(By.CSS_SELECTOR, "button").click()

    await asyncio.to_thread(fill)
    await shows(browser, "#response-head", "200 OK")
    await shows(browser, "#response", '"rawPath": "/some/path"')
    await shows(browser, "tr[data-function=echo]", "1 of 1")
    await click(browser, "#invoke [name=async]")
    await click(browser, "#invoke button")
    await shows(browser, "#response-head", "202 Accepted")
    problems = [
        entry
        for entry in browser.get_log("browser")  # type: ignore[attr-defined]
        if entry["level"] == "SEVERE"
    ]
    assert problems == []


async def test_what_is_wrong_is_shown(browser: WebDriver, gateway: RunningGateway) -> None:
    await gateway.deploy("broken", "broken")
    await open_page(browser, gateway)
    await shows(browser, "tr[data-function=broken] .problem", "exited with status 1")
    await gateway.server.stop()
    await shows(browser, "#connection", "no connection")


@pytest.mark.slow
async def test_the_theme_of_the_system_is_shown_and_can_be_switched(
    browser: WebDriver, gateway: RunningGateway
) -> None:
    def colours() -> list[str]:
        return browser.execute_script(
            "const style = getComputedStyle(document.body);"
            "return [document.documentElement.dataset.theme, style.backgroundColor, style.color];"
        )

    browser.execute_cdp_cmd(  # type: ignore[attr-defined]
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    await open_page(browser, gateway)
    assert colours() == ["dark", "rgb(12, 14, 22)", "rgb(236, 238, 247)"]
    await click(browser, "#theme")
    light = ["light", "rgb(245, 246, 250)", "rgb(23, 26, 43)"]
    assert colours() == light
    await open_page(browser, gateway)
    assert colours() == light
