"""The envelope that events of every source share, and the types that their fields use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from functions.common.workspace import workspace

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD = timedelta(days=1)
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_PLAIN_UTC = frozenset(
    f"0000-00-00T00:00:00{fraction}{offset}".encode()
    for fraction in ("", ".000", ".000000")
    for offset in ("Z", "+00:00")
)
_MAX_TIME_LENGTH = 64
"""RFC 3339 has any number of digits after the second."""

STRICT = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)
"""The configuration of every part of an event: no type is converted, unknown fields are allowed.

Unknown fields are stored from the raw event; validation returns only known fields, because
returning all takes a quarter of its time.
"""

_latest = EARLIEST
"""A moment that was within the bounds when the clock was last read, and so is ever since."""

_read_time: Callable[[Any], datetime] = TypeAdapter(AwareDatetime).validator.validate_python


def _event_time(text: Any) -> datetime:
    """Return the time that a timestamp says."""
    global _latest  # noqa: PLW0603
    time = plain_utc(text) or _read_time(_rfc3339(text))
    if time < EARLIEST:
        raise PydanticCustomError("timestamp_too_early", "Timestamp is before the year 2000")
    if time > _latest:
        _latest = datetime.now(UTC) + MAX_AHEAD
        if time > _latest:
            raise PydanticCustomError("timestamp_in_future", "Timestamp is more than one day ahead")
    return time


def read_plain_time(text: str) -> datetime | None:
    """Return the time that a usual timestamp says; None: only the contract can tell.

    That is so for unusual ones, and once a day for a usual one.
    """
    time = plain_utc(text)
    return time if time and EARLIEST <= time <= _latest else None


def plain_utc(text: Any) -> datetime | None:
    """Read `2026-01-02T03:04:05Z`, with or without milli- or microseconds; None for all else.

    Nearly every timestamp is written so, or with `+00:00`. Pydantic would take three times as long
    to check it, most of it for its own time zone, which is slow to compare.
    """
    try:
        if (
            type(text) is str
            and text.encode().translate(_ZEROS) in _PLAIN_UTC
            and (text[-1] == "Z" or text.endswith("+00:00"))
        ):
            return datetime.fromisoformat(text)
    except ValueError:  # there is no such day, or it has a lone surrogate
        pass
    return None


def _rfc3339(timestamp: Any) -> Any:
    # pydantic would also read numbers and "1700000000" as seconds since 1970, "_" for "T", and a
    # comma before the fraction
    if (
        not isinstance(timestamp, str)
        or len(timestamp) > _MAX_TIME_LENGTH
        or timestamp[10:11] not in ("T", "t", " ")
        or "," in timestamp
    ):
        raise PydanticCustomError(
            "timestamp_format", "Timestamp should be an RFC 3339 date and time with an offset"
        )
    return timestamp


MAX_ID_LENGTH = 200

EventId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_LENGTH),
    Field(
        description="Identifies the event together with the UTC day of its timestamp; the first "
        "one is stored. Choose ids that others cannot guess, such as UUIDs."
    ),
]
EventTime = Annotated[
    datetime,
    PlainValidator(_event_time),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "maxLength": _MAX_TIME_LENGTH,
            "pattern": r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
            r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
            r"([Zz]|[+\-\u2212]([01][0-9]|2[0-3]):?[0-5][0-9])$",
            "description": "When it happened: RFC 3339 with an offset, from the year 2000 to a day "
            "ahead.",
        }
    ),
]
"""When an event occurred. JSON Schema cannot say its bounds, or that a day is in the calendar."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""An id or a name that reports may group by; entries of the database's indexes have a limit."""
Name = Annotated[str, StringConstraints(max_length=200)]
"""A name of a person, which nothing groups by; it may be empty."""
UnsignedInteger = Annotated[int, Field(ge=0)]
Amount = Annotated[
    str,
    StringConstraints(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$"),
    Field(description="Money as a decimal string, exact."),
]
"""Money as a decimal string, exact."""


class _OfTheWorkspace:
    """The schema of a currency: the one that the workspace has, or none."""

    def __get_pydantic_json_schema__(self, _: Any, __: Any) -> dict[str, Any]:
        expected = workspace().currency
        return {"type": "string", "const": expected} if expected else {"type": "null"}


def _check_currency(currency: Any) -> str:
    expected = workspace().currency
    if not expected:
        raise PydanticCustomError(
            "currency_not_set", "Amounts have no currency here: CURRENCY is not set"
        )
    if currency != expected:
        raise PydanticCustomError(
            "other_currency", "Amounts are in {expected} here", {"expected": expected}
        )
    return expected


Currency = Annotated[
    str,
    PlainValidator(_check_currency),
    _OfTheWorkspace(),
    Field(description="Currency of the amount: that of the workspace (setting CURRENCY)."),
]
"""The currency of an amount; another one than that of the workspace is refused."""
ActionTime = Annotated[
    str,
    StringConstraints(
        max_length=_MAX_TIME_LENGTH,
        # \d would be a digit of any script here, and only an ASCII one in JSON Schema
        pattern=r"^[0-9]{4}-(0[0-9]|1[0-2])-([0-2][0-9]|3[01])[Tt ]"
        r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
        r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    ),
    Field(description="RFC 3339 with an offset; kept as it was written."),
]
"""An RFC 3339 time that is kept as it was written."""


@with_config(STRICT)
class Envelope(TypedDict):
    """The fields of every event besides `source`, `funnelStage`, `eventType` and `data`."""

    eventId: EventId
    timestamp: EventTime


ENVELOPE_FIELDS = frozenset({"eventId", "timestamp", "source", "funnelStage", "eventType", "data"})


ReportFields = tuple[str, str | None, str | None, Decimal | None, tuple[str, ...]]
"""What reports use of an event's `data`: the user's id, the country, the campaign's id, the
revenue of a purchase, and the values of the source's demographic dimensions, of which the last may
be missing. (A plain tuple: one is made of every event, and a NamedTuple takes long to make.)"""


@dataclass(frozen=True)
class Bands:
    """The groups that reports count a number in.

    Attributes:
        path: of the number, below an event's `data`.
        ends: of all groups but the last, which has none; a number that is an end is in the next.
        labels: of the groups.
    """

    path: tuple[str, ...]
    ends: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What one source of events consists of.

    Attributes:
        name: the value of `source` in its events.
        event: the type of its events, as pydantic understands it.
        report_fields: returns what reports use of a validated event.
        dimensions: the names of its demographic dimensions, such as `ageGroup`.
        bands: how those of them that are groups of a number are worked out from an event.
    """

    name: str
    event: Any
    report_fields: Callable[[Any], ReportFields]
    dimensions: tuple[str, ...] = ()
    bands: Mapping[str, Bands] = field(default_factory=dict[str, Bands])


def money(text: str | None) -> Decimal | None:
    """Return an `Amount` as a number, None as None."""
    return None if text is None else Decimal(text)
