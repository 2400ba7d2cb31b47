"""Pauses: until when, and by whom."""

import math

import pytest

from infra.connector.delivery.pause import FOREVER_SECONDS, Pause, current_pause, parse_paused


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("true", math.inf),
        (" TRUE ", math.inf),
        ("false", 0.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
    ],
)
def test_until(text: str, until: float) -> None:
    assert parse_paused(text) == until


@pytest.mark.parametrize("text", ["", "soon", "1", "2026-01-31", "2026-01-31T12:00:00"])
def test_no_pause(text: str) -> None:
    with pytest.raises(ValueError, match="not true, false, or a time"):
        parse_paused(text)


def test_the_longer_pause_counts() -> None:
    assert current_pause(-5.0, 0.0) is None
    assert current_pause(5.0, 9.0) == Pause("nats", 9.0)
    assert current_pause(math.inf, FOREVER_SECONDS) == Pause("annotation", math.inf)
    assert Pause("nats", 60.0).until(0.4) == "1970-01-01T00:01:00+00:00"
    assert Pause("nats", FOREVER_SECONDS).until(0.0) is None
    assert Pause("annotation", math.inf).until(0.0) is None
