"""Durations as Go writes them (`90s`, `1h30m`, `250ms`), which OpenFaaS labels use."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return the seconds that a Go duration string stands for; a bare number is seconds.

    Raises:
        ValueError: it is not a duration, or a negative one.
    """
    compact = text.strip()
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", compact):
        return float(compact)
    seconds, end = 0.0, 0
    while part := _PART.match(compact, end):
        seconds += float(part[1]) * _UNITS[part[2]]
        end = part.end()
    if not compact or end != len(compact):
        raise ValueError(f"not a duration such as 5m or 1h30m: {text!r}")
    return seconds


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
"""The type of a setting in seconds, written as a number or as a duration such as `1m30s`."""
