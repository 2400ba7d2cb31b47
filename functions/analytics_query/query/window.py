"""Lengths of time in a question, such as `7d`."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

MAX_DAYS = 366
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def length_of(window: str) -> timedelta:
    """Return the length that a `Window` names."""
    return timedelta(**{_UNITS[window[-1]]: int(window[:-1])})


def _check(text: str) -> str:
    if not timedelta(0) < length_of(text) <= timedelta(days=MAX_DAYS):
        raise PydanticCustomError("invalid_window", "At least a minute and at most 366 days")
    return text


Window = Annotated[
    str, Field(pattern=r"^[1-9][0-9]{0,5}[mhd]$", max_length=7), AfterValidator(_check)
]
"""Minutes (`30m`), hours (`24h`) or days (`7d`)."""
