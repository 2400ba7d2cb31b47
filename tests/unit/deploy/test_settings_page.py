"""docs/settings.md and the settings classes say the same."""

import pytest

from functions.common.paths import ROOT
from infra.cli.commands.settings import page, settings_of
from infra.cli.components import COMPONENTS


def test_the_page_is_what_the_classes_say() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == page(), "write it again: universe settings --markdown > docs/settings.md"


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_setting_says_what_it_means(component: str) -> None:
    settings = list(settings_of(component))
    assert settings
    assert [each.variable for each in settings if not each.meaning] == []


def test_no_default_is_a_path_of_this_machine() -> None:
    assert str(ROOT) not in page()
