"""The types of values in responses, and how they are written in JSON."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["1234.50"])]
"""An exact amount as a decimal string."""
Count = Annotated[int, Field(ge=0, examples=[42])]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""A time in UTC, RFC 3339 with Z."""
Rate = Annotated[float, Field(ge=0, examples=[0.125])]


ReportRange = TypedDict("ReportRange", {"from": Time | None, "to": Time | None})
"""The requested time range; null: not restricted."""


def format_money(amount: Decimal | int | None) -> str:
    """Return an amount without an exponent; `0` for None."""
    if not amount:
        return "0"
    return f"{amount:f}"


def format_average(amount: Decimal, number: int) -> str | None:
    """Return an amount divided by a number, to two decimals; None if the number is 0."""
    if number == 0:
        return None
    return f"{(amount / number).quantize(Decimal('0.01'), ROUND_HALF_EVEN):f}"


def format_time(moment: datetime) -> str:
    """Return a UTC time in RFC 3339, with microseconds if there are any."""
    return moment.replace(tzinfo=None).isoformat() + "Z"


def format_optional_time(moment: datetime | None) -> str | None:
    """Return a UTC time as `format_time` does; None for None."""
    return None if moment is None else format_time(moment)


def ratio(part: int, whole: int) -> float | None:
    """Return part/whole to six decimals; None where the whole is 0: nothing is known."""
    return round(part / whole, 6) if whole else None
