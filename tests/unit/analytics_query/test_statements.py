"""Statements are put together from fragments that are found by their names."""

import re

import pytest

from functions.analytics_query.query.statements import QUERIES, Statements, fragments
from functions.common.paths import ROOT


def test_a_slot_takes_the_fragment_that_is_named() -> None:
    funnel = Statements("report_funnel.sql")
    by_country = funnel.over("funnel", sums="sums_countries")
    assert "live_day_countries" in by_country
    assert "live_day_types" in funnel.over("funnel", sums="sums_types")
    assert "{{" not in by_country
    assert "%(country)s" in by_country


@pytest.mark.parametrize(
    ("name", "slots", "said"),
    [
        ("nothing", {}, "report_funnel.sql has no statement nothing"),
        ("funnel", {}, "no fragment sums"),
        ("funnel", {"sums": "sums_planets"}, "no fragment sums_planets"),
        ("users_by_stage_exact", {"sums": "sums_types"}, "users_by_stage_exact has no slot sums"),
    ],
)
def test_an_unknown_name_is_an_error(name: str, slots: dict[str, str], said: str) -> None:
    with pytest.raises(LookupError, match=said):
        Statements("report_funnel.sql").over(name, **slots)


def test_every_statement_is_complete_and_every_fragment_is_used() -> None:
    code = "".join(
        path.read_text() for path in (ROOT / "functions" / "analytics_query").rglob("*.py")
    )
    texts = {path.name: path.read_text() for path in QUERIES.glob("report_*.sql")}
    code_of_sql = re.sub(r"^--.*$", "", "".join(texts.values()), flags=re.MULTILINE)
    included = set(re.findall(r"\{\{(\w+)\}\}", code_of_sql))
    named = set(re.findall(r'"((?:sums|groups|found)_\w+)"', code))
    assert set(fragments()) == (included - {"sums", "groups", "found"}) | named
    for file in texts.keys() - {"report_filters.sql"}:
        statements = Statements(file)
        for name in re.findall(r"^-- name: (\w+)$", texts[file], re.MULTILINE):
            text = texts[file].split(f"-- name: {name}\n")[1].split("-- name:")[0]
            slots = {
                slot: next(each for each in sorted(named) if each.startswith(f"{slot}_"))
                for slot in ("sums", "groups", "found")
                if f"{{{{{slot}}}}}" in text
            }
            assert "{{" not in statements.over(name, **slots)
