"""What axe-core has to say about a page: accessibility that a program can judge."""

from functools import cache
from importlib.resources import files
from typing import Any

from tests.support.browser import Page

LOOKS = ((1280, "light"), (390, "dark"))
"""Widths and themes to look at: colours are those of the theme at any width."""


@cache
def _script() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def findings(page: Page) -> list[str]:
    """Return what axe finds wrong with the page as it is: the rule, the element, and why."""
    if not page.script("return Boolean(globalThis.axe)"):
        page.script(_script())
    found: list[dict[str, Any]] = page.driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document, {resultTypes: ['violations']}).then(({violations}) => done(violations))"
    )
    return [
        f"{rule['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def check(page: Page, what: str) -> None:
    """Assert that axe has nothing to say, on a desk and on a phone, each in another theme.

    Nor may the page be wider than its window.

    Args:
        what: the state that the page is in, for the message.
    """
    said: list[str] = []
    for width, theme in LOOKS:
        page.size(width, 900, phone=width < 700)
        page.script(
            "document.documentElement.dataset.theme === arguments[0]"
            " || document.getElementById('theme').click()",
            theme,
        )
        found = findings(page)
        if (wide := page.script("return document.documentElement.scrollWidth")) > width:
            found.append(f"it is {wide} px wide")
        said += [f"{what}, {theme}, {width} px: {finding}" for finding in found]
    assert not said, "\n".join(said)
