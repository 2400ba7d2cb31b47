"""What runs when: quick and slow tests, and the hypothesis profiles of both."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile(
    "long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def long_run(config: pytest.Config) -> bool:
    """Tell whether the slow tests were asked for, with `-m slow`."""
    return config.option.markexpr == "slow"


_ALL_SLOW = re.compile(r"^pytestmark\b.*\bslow\b", re.MULTILINE)


def has_nothing_to_run(file: Path, config: pytest.Config) -> bool:
    """Tell whether a file has slow tests alone, and quick ones were asked for.

    Each worker would import it for nothing.
    """
    return (
        config.option.markexpr == "not slow"
        and file.suffix == ".py"
        and _ALL_SLOW.search(file.read_text()) is not None
    )


def quick_first(values: Iterable[Any], quick: int = 1) -> list[Any]:
    """Return parameters of a test, of which the first ones run always and the others are slow."""
    return [
        pytest.param(value, marks=() if number < quick else pytest.mark.slow)
        for number, value in enumerate(values)
    ]


def load_hypothesis_profile(config: pytest.Config) -> None:
    """Let properties try more examples in the slow run."""
    settings.load_profile("long" if long_run(config) else "quick")


def examples(quick: int) -> int:
    """Return how many examples a property tries that needs far more time for each than most."""
    return quick if settings.get_current_profile_name() == "quick" else settings().max_examples


def add_properties_to_the_slow_run(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark properties as slow too where those run: each is tested quickly and at length."""
    if not long_run(config):
        return
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.slow)
