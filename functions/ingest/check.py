"""Checking the events of a request against the contract."""

import math
import re
from dataclasses import dataclass
from json import JSONDecoder

import orjson
from pydantic import ValidationError

from functions.common.broker import subject_token
from functions.common.events import SOURCES, ErrorDetail, explain, validate_json


@dataclass(frozen=True)
class Rejected:
    """An event that the contract does not allow.

    Attributes:
        index: its place in the request, from 0.
        raw: its bytes as they were sent.
        event_id: its id, where one can be read.
        source: its source where that is a known one, else `unknown`.
        errors: what is wrong with it.
    """

    index: int
    raw: bytes
    event_id: str | None
    source: str
    errors: list[ErrorDetail]


@dataclass(frozen=True)
class Checked:
    """The events of one request: valid ones by source, and the others."""

    valid: dict[str, list[bytes]]
    rejected: list[Rejected]

    @property
    def accepted(self) -> int:
        """How many events are valid."""
        return sum(map(len, self.valid.values()))


def check(events: list[bytes], largest: int) -> Checked:
    """Check each event.

    Args:
        events: the bytes of each.
        largest: the most bytes that the broker takes in one message.
    """
    valid: dict[str, list[bytes]] = {}
    rejected: list[Rejected] = []
    for index, raw in enumerate(events):
        errors = _fault(raw, largest)
        if errors is None:
            try:
                valid.setdefault(validate_json(raw)["source"], []).append(raw)
            except ValidationError as error:
                errors = explain(error)
        if errors is not None:
            event_id, source = _identify(raw)
            rejected.append(Rejected(index, raw, event_id, source, errors))
    return Checked(valid, rejected)


def _fault(raw: bytes, largest: int) -> list[ErrorDetail] | None:
    """Return what is wrong with an event before its fields are looked at."""
    if len(raw) > largest:
        message = f"The event has {len(raw)} bytes; the broker takes {largest}"
        return [{"loc": [], "msg": message, "type": "event_too_large"}]
    # pydantic takes NaN and Infinity in unknown fields; they are not JSON, and PostgreSQL refuses
    if (b"NaN" in raw or b"Infinity" in raw) and _has_constant(raw):
        message = "Invalid JSON: NaN and Infinity are not JSON numbers"
        return [{"loc": [], "msg": message, "type": "json_invalid"}]
    # and numbers that no computer's number holds, which it would take for Infinity
    if _perhaps_huge(raw) and _has_constant(raw):
        message = "A number is out of range"
        return [{"loc": [], "msg": message, "type": "number_out_of_range"}]
    return None


_perhaps_huge = re.compile(rb"\d[eE]\+?\d{3}|\d{300}").search


class _Constant(Exception):
    pass


def _refuse(_: str) -> None:
    raise _Constant


def _refuse_infinite(digits: str) -> None:
    if math.isinf(float(digits)):
        raise _Constant


_find_constants = JSONDecoder(
    parse_int=len,  # type: ignore[arg-type]
    parse_float=_refuse_infinite,  # type: ignore[arg-type]
    parse_constant=_refuse,
)


def _has_constant(raw: bytes) -> bool:
    try:
        _find_constants.decode(raw.decode())
    except _Constant:
        return True
    except (ValueError, RecursionError):
        return False  # the contract's own parser says what is wrong
    return False


def _identify(raw: bytes) -> tuple[str | None, str]:
    """Return the id and the source of an event that is not valid, as far as they can be read."""
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None, "unknown"
    if not isinstance(event, dict):
        return None, "unknown"
    event_id, source = event.get("eventId"), event.get("source")
    known = source if isinstance(source, str) and source in SOURCES else None
    return event_id if isinstance(event_id, str) else None, subject_token(known)
