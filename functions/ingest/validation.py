"""Validation of a request's events against the event contract."""

import math
import re
from dataclasses import dataclass
from json import JSONDecoder
from typing import cast

import orjson
from pydantic import ValidationError

from functions.common.broker import subject_token
from functions.common.errors import UniverseError
from functions.common.events import SOURCES, ErrorDetail, explain, validate_json

from .webhooks.webhook import Webhook


@dataclass(frozen=True)
class RejectedEvent:
    """An event that the contract does not allow.

    Attributes:
        index: its position in the request, from 0.
        raw: its bytes as they were sent.
        event_id: its id, where one can be read.
        source: its source where that is a known one, else `unknown`.
        errors: the violations of the contract.
        foreign: whether its source is one that its sender may not write. Such an event is no dead
            letter: a replay would write it after all.
    """

    index: int
    raw: bytes
    event_id: str | None
    source: str
    errors: list[ErrorDetail]
    foreign: bool = False


@dataclass(frozen=True)
class ValidatedEvents:
    """The events of one request: valid ones by source, and the others."""

    valid: dict[str, list[bytes]]
    rejected: list[RejectedEvent]

    @property
    def accepted(self) -> int:
        """How many events are valid."""
        return sum(map(len, self.valid.values()))

    @property
    def dead_letters(self) -> list[RejectedEvent]:
        """The events that are kept in the DLQ."""
        return [each for each in self.rejected if not each.foreign]


def validate(
    events: list[bytes], max_bytes: int, webhook: Webhook | None = None
) -> ValidatedEvents:
    """Validate each event.

    Args:
        events: the bytes of each.
        max_bytes: the largest payload of a message, hence of an event.
        webhook: where they arrived, which takes events of its sources only; None: of any source.
    """
    valid: dict[str, list[bytes]] = {}
    rejected: list[RejectedEvent] = []
    for index, raw in enumerate(events):
        errors = _precheck(raw, max_bytes)
        source = ""
        if errors is None:
            try:
                source = validate_json(raw)["source"]
            except ValidationError as error:
                errors = explain(error)
        if errors is None and (webhook is None or source in webhook.sources):
            valid.setdefault(source, []).append(raw)
            continue
        event_id, claimed = _identify(raw)
        source = source or claimed
        foreign = webhook is not None and source in SOURCES and source not in webhook.sources
        if webhook and foreign:
            errors = [webhook.foreign_source(source)]
        rejected.append(RejectedEvent(index, raw, event_id, source, errors or [], foreign))
    return ValidatedEvents(valid, rejected)


def _precheck(raw: bytes, max_bytes: int) -> list[ErrorDetail] | None:
    """Return the errors that pydantic would not report, None where there are none."""
    if len(raw) > max_bytes:
        message = f"The event has {len(raw)} bytes; the broker takes {max_bytes}"
        return [{"loc": [], "msg": message, "type": "event_too_large"}]
    # pydantic accepts NaN and Infinity in unknown fields; they are not JSON, and PostgreSQL refuses
    if (b"NaN" in raw or b"Infinity" in raw) and _has_infinite_number(raw):
        message = "Invalid JSON: NaN and Infinity are not JSON numbers"
        return [{"loc": [], "msg": message, "type": "json_invalid"}]
    # and numbers beyond the range of a float, which it would read as Infinity
    if _may_be_infinite(raw) and _has_infinite_number(raw):
        message = "A number is out of range"
        return [{"loc": [], "msg": message, "type": "number_out_of_range"}]
    return None


_may_be_infinite = re.compile(rb"\d[eE]\+?\d{3}|\d{300}").search


class _NotFiniteError(UniverseError):
    """A number in JSON that is NaN, infinite, or too large for a float."""


def _raise_for_constant(_: str) -> None:
    raise _NotFiniteError


def _raise_if_infinite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _NotFiniteError
    return number


_decoder = JSONDecoder(
    # integers are not converted: Python refuses to convert very long ones
    parse_int=len,
    parse_float=_raise_if_infinite,
    parse_constant=_raise_for_constant,
)


def _has_infinite_number(raw: bytes) -> bool:
    try:
        _decoder.decode(raw.decode())
    except _NotFiniteError:
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
    fields = cast(dict[str, object], event)
    event_id, source = fields.get("eventId"), fields.get("source")
    known = source if isinstance(source, str) and source in SOURCES else None
    return event_id if isinstance(event_id, str) else None, subject_token(known)
