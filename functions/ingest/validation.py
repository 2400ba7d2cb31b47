"""Validation of a request's events against the event contract."""

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecoder
from typing import Any, cast

import orjson
from pydantic import ValidationError

from functions.common.broker import subject_token
from functions.common.contract import MAX_ID_LENGTH
from functions.common.errors import UniverseError
from functions.common.events import (
    MAX_ERRORS,
    MAX_SUMMARIZED,
    SOURCES,
    ErrorDetail,
    explain,
    summarize,
    validate_json,
)
from functions.common.limits import AgeLimit, EventLimits, too_large, too_old

from .body import require_element
from .pace import Pace
from .plain import Identity, identify_plain
from .webhooks.webhook import Webhook

MAX_DETAILED = 100
"""Rejected events whose violations are told one by one; the others are counted."""

FOREIGN = "foreign"
"""The kind of an event whose source is one that its sender may not write. Such an event is no dead
letter: a replay would write it after all."""
TOO_LARGE = "too_large"
_KINDS = {
    "timestamp_too_early": "too_old",
    "timestamp_in_future": "in_future",
    "json_invalid": "not_json",
}
"""The kind of a rejection by the type of its first error; for all others `contract`."""


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that is not accepted.

    Attributes:
        index: its position in the request, from 0.
        raw: its bytes as they were sent; None where they are more than an event may have.
        event_id: its id, where one can be read; at most 200 characters of it.
        source: its source where that is a known one, else `unknown`.
        kind: which bound or rule it breaks, a label of the metric; or `FOREIGN`.
        reason: the violations in one line.
        errors: the violations; none for events after the first hundred rejected ones.
    """

    index: int
    raw: bytes | None
    event_id: str | None
    source: str
    kind: str
    reason: str
    errors: list[ErrorDetail]


@dataclass(slots=True)
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
        """The events that are kept in the DLQ: those that its owner may want to replay."""
        return [each for each in self.rejected if each.kind not in (FOREIGN, TOO_LARGE)]


async def validate(
    events: Iterable[bytes | None], validator: "EventValidator", pace: Pace
) -> ValidatedEvents:
    """Validate each event.

    Args:
        events: the bytes of each; None where others may be served first.
        validator: sorts them.
        pace: of the request.

    Raises:
        RequestRefusedError: as `EventValidator.add`.
    """
    for event in events:
        if event is not None:
            validator.add(event)
        if pace.due:
            await pace.pause()
    return validator.found


class EventValidator:
    """Sorts the events of one request into valid ones and others.

    Args:
        limits: bounds on an event.
        max_payload: the largest payload of a message in bytes, hence of an event.
        webhook: where they arrived, which takes events of its sources only; None: of any source.
        ndjson: whether one that is not JSON is rejected by itself, not the whole body refused.
    """

    def __init__(
        self,
        limits: EventLimits,
        max_payload: int,
        webhook: Webhook | None = None,
        *,
        ndjson: bool = False,
    ) -> None:
        self.found = ValidatedEvents({}, [])
        self._limits = limits
        self._max_bytes = min(limits.max_event_bytes, max_payload)
        self._webhook = webhook
        self._ndjson = ndjson
        self._oldest = limits.oldest(datetime.now(UTC))
        self._count = 0

    def take(self, raw: bytes) -> bool:
        """Sort an event that fulfils the contract; tell of another, and leave it to `add`."""
        event = None if len(raw) > self._max_bytes else _valid(raw)
        if event is None:
            return False
        self._sort(raw, event)
        self._count += 1
        return True

    def add(self, raw: bytes) -> None:
        """Validate one event.

        Raises:
            RequestRefusedError: 400, it is not JSON, so the whole body is not.
        """
        if len(raw) > self._max_bytes:
            self._reject_large(raw)
        elif event := identify_plain(raw):
            self._sort(raw, event)
        elif error := _precheck(raw):
            self._reject(raw, error)
        else:
            try:
                event = _identity(validate_json(raw))
            except ValidationError as error:
                self._reject(raw, error)
            else:
                self._sort(raw, event)
        self._count += 1

    def _sort(self, raw: bytes, event: Identity) -> None:
        source, event_id, time = event
        if self._webhook and source not in self._webhook.sources:
            self._reject_foreign(raw, event_id, source, self._webhook)
        elif time < self._oldest:
            error = _error("timestamp_too_old", too_old(self._limits), "timestamp")
            self._append(source, event_id, [error], "too_old", raw)
        else:
            self.found.valid.setdefault(source, []).append(raw)

    def _reject_foreign(
        self, raw: bytes, event_id: str | None, source: str, webhook: Webhook
    ) -> None:
        self._append(source, event_id, [webhook.foreign_source(source)], FOREIGN, raw)

    def _reject(self, raw: bytes, error: ValidationError | ErrorDetail) -> None:
        event_id, source = _identify(raw)
        webhook = self._webhook
        if webhook and source in SOURCES and source not in webhook.sources:
            self._reject_foreign(raw, event_id, source, webhook)
            return
        detailed = len(self.found.rejected) < MAX_DETAILED
        if isinstance(error, ValidationError):
            errors = explain(error, MAX_ERRORS if detailed else MAX_SUMMARIZED)
            count = error.error_count()
        else:
            errors, count = [error], 1
        kind = _KINDS.get(errors[0]["type"], "contract")
        if kind == "not_json" and not self._ndjson:
            require_element(raw, self._count)
        self._append(source, event_id, errors, kind, raw, count)

    def _reject_large(self, raw: bytes) -> None:
        # it is not parsed, and not kept: 8 KB of gzip would write 8 MB to the DLQ
        error = _error("event_too_large", too_large(len(raw), self._max_bytes))
        event_id, source = _identify_by_head(raw[:_HEAD_BYTES])
        self._append(source, event_id, [error], TOO_LARGE, None)

    def _append(
        self,
        source: str,
        event_id: str | None,
        errors: list[ErrorDetail],
        kind: str,
        raw: bytes | None,
        count: int | None = None,
    ) -> None:
        reason = summarize(errors, count)
        if len(self.found.rejected) >= MAX_DETAILED:
            errors = []
        short_id = event_id and event_id[:MAX_ID_LENGTH]
        self.found.rejected.append(
            RejectedEvent(self._count, raw, short_id, source, kind, reason, errors)
        )


def accepted_source(raw: bytes, max_bytes: int, age: AgeLimit) -> str | None:
    """Return the source of an event that is accepted; None of another, of which this is all.

    Args:
        raw: its bytes.
        max_bytes: the most that it may have.
        age: how old it may be.
    """
    event = _valid(raw) if len(raw) <= max_bytes else None
    if event is None:
        return None
    source, _, time = event
    return source if age.accepts(time) else None


def _valid(raw: bytes) -> Identity | None:
    """Return which event it is, if it fulfils the contract; None of another."""
    event = identify_plain(raw)
    if event is None and not _precheck(raw):
        with suppress(ValidationError):
            return _identity(validate_json(raw))
    return event


def _identity(event: dict[str, Any]) -> Identity:
    return event["source"], event["eventId"], event["timestamp"]


def _error(type_: str, message: str, *loc: str | int) -> ErrorDetail:
    return {"loc": list(loc), "msg": message, "type": type_}


def _precheck(raw: bytes) -> ErrorDetail | None:
    """Return the error that pydantic would not report, None where there is none."""
    # pydantic accepts NaN and Infinity in unknown fields; they are not JSON, and PostgreSQL refuses
    if _may_be_constant(raw) and _has_infinite_number(raw):
        return _error("json_invalid", "Invalid JSON: NaN and Infinity are not JSON numbers")
    # and numbers beyond the range of a float, which it would read as Infinity
    if _may_be_infinite(raw) and _has_infinite_number(raw):
        return _error("number_out_of_range", "A number is out of range")
    return None


_DIGITS = bytes.maketrans(
    bytes(range(256)),
    bytes(48 if 48 <= byte <= 57 else byte if byte in b"e+" else 101 if byte == 69 else 32
          for byte in range(256)),
)  # fmt: skip
_LONG_DIGITS = b"0" * 300


def _may_be_constant(raw: bytes) -> bool:
    return b"NaN" in raw or b"Infinity" in raw


def _may_be_infinite(raw: bytes) -> bool:
    """Return whether there may be a number of three digits in the exponent, or of 300 at all."""
    # every digit becomes a zero: three searches for a text take a tenth of one for a pattern
    digits = raw.translate(_DIGITS)
    return b"0e000" in digits or b"0e+000" in digits or _LONG_DIGITS in digits


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


_HEAD_BYTES = 2048
_id_in_head = re.compile(rb'"eventId"\s*:\s*"([^"\\]{1,200})"').search
_source_in_head = re.compile(rb'"source"\s*:\s*"([^"\\]{1,64})"').search


def _identify_by_head(head: bytes) -> tuple[str | None, str]:
    """Do the same by the first bytes of an event that is too large to be parsed."""
    event_id, source = _id_in_head(head), _source_in_head(head)
    name = source[1].decode("utf-8", "replace") if source else None
    known = name if name in SOURCES else None
    return event_id and event_id[1].decode("utf-8", "replace"), subject_token(known)
