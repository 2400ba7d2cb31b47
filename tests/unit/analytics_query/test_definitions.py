"""The page and docs/analytics.md say the same of each figure."""

import re

from functions.common.paths import ROOT

PAGE = ROOT / "functions" / "analytics_query" / "page"


def test_every_figure_is_defined_once_and_everywhere_the_same() -> None:
    figures = re.findall(
        r'^  (\w+): \["(.+)", "(.+)"\],$', (PAGE / "lib/definitions.js").read_text(), re.M
    )
    assert len(figures) > 10
    rows = {
        cells[0].strip("* "): [cell.strip() for cell in cells]
        for line in (ROOT / "docs" / "analytics.md").read_text().splitlines()
        if line.startswith("| **")
        for cells in [line.strip("|").split("|")]
    }
    assert {title: rows.get(title, [""] * 5)[2] for _, title, _ in figures} == {
        title: meaning for _, title, meaning in figures
    }
    assert all(all(row) and len(row) == 5 for row in rows.values())  # formula and error as well
    assert len(rows) == len(figures)
