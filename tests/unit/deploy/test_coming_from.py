"""The page for those who come from another connector names settings that there are."""

import re

from functions.common.paths import ROOT

CONNECTOR = ROOT / "infra/connector"
NAMES = re.compile(r"`([^`]+)`")


def known() -> set[str]:
    """Return the names of the generated table: annotations, labels, variables and files."""
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", (CONNECTOR / "settings.md").read_text(), re.M)
    return {name for row in rows for cell in row for name in NAMES.findall(cell)}


def test_each_setting_of_the_page_is_in_the_table() -> None:
    page = (CONNECTOR / "coming-from.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", page, re.M)
    names = [name for there, here in rows if there != "there" for name in NAMES.findall(here)]
    # what is no setting: statuses, names of secrets and of NATS, values
    settings = {
        name for name in names if re.fullmatch(r"[A-Z][A-Z_]+|[a-z]+\.[a-z.-]+|topic", name)
    }
    assert len(settings) >= 25
    assert settings - known() - {"SECRETS_DIR"} == set()


def test_every_connector_has_a_way_here() -> None:
    page = (CONNECTOR / "coming-from.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", page, re.M)
    assert len(re.findall(r"^## ", page, re.M)) == 4
    assert all(here.strip() for _, here in rows)
