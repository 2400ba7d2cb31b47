"""Parts that the answers of several reports share, and how values are written in JSON."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any

import orjson
from pydantic import Field
from typing_extensions import TypedDict

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["1234.50"])]
"""An exact amount as a decimal string."""
Count = Annotated[int, Field(ge=0, examples=[42])]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A moment in UTC, RFC 3339 with Z."""
Rate = Annotated[float, Field(ge=0, examples=[0.125])]


Range = TypedDict("Range", {"from": Time | None, "to": Time | None})
"""The range that was asked for; null: not restricted."""


def money(amount: Decimal | int | None) -> str:
    """Write an amount without an exponent; `0` where there is none."""
    if not amount:
        return "0"
    return f"{amount:f}"


def average(amount: Decimal, number: int) -> str | None:
    """Write an amount divided by a number, to two decimals; None where the number is 0."""
    if number == 0:
        return None
    return f"{(amount / number).quantize(Decimal('0.01'), ROUND_HALF_EVEN):f}"


def time(moment: datetime | None) -> str | None:
    """Write a UTC moment, to the microsecond where it has any."""
    return None if moment is None else utc(moment)


def utc(moment: datetime) -> str:
    """Write a UTC moment, to the microsecond where it has any."""
    return moment.replace(tzinfo=None).isoformat() + "Z"


def rate(part: int, whole: int) -> float | None:
    """Return part/whole, 0 where both are 0, None where only the whole is 0."""
    if whole == 0:
        return None if part else 0.0
    return round(part / whole, 6)


def to_json(answer: Any) -> bytes:
    """Write an answer as JSON."""
    return orjson.dumps(answer)
