"""Durations as Go writes them, and the type of settings in seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from functions.common.durations import Seconds, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("15s", 15),
        ("1h30m", 5400),
        ("1h1m1.5s", 3661.5),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("3", 3),
        ("0s", 0),
    ],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "5 m", "-5m", "5x", "5mm", "1h-3m", "NaN"])
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def as_go_writes(seconds: int) -> str:
    """Return what Go's `Duration.String` does."""
    if seconds < 60:
        return f"{seconds}s"
    hours, rest = divmod(seconds, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}h{minutes}m{second}s" if hours else f"{minutes}m{second}s"


@given(st.integers(0, 400_000))
def test_a_written_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(as_go_writes(seconds)) == seconds


def test_a_setting_in_seconds_is_a_number_or_a_duration() -> None:
    read = TypeAdapter(Seconds).validate_python
    assert [read(text) for text in ("90", "1m30s", 90, 0.5)] == [90, 90, 90, 0.5]
    for wrong in ("-1", -1, "soon"):
        with pytest.raises(ValidationError):
            read(wrong)
