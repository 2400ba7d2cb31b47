"""From validated events to rows of the table `events`, as text for COPY.

This runs for every event, so it builds each row with one formatted string, and the parts the
rollups need again are cut out of it only once.
"""

import re
from datetime import UTC
from decimal import Decimal
from typing import Any, NamedTuple

from functions.common.contract import ENVELOPE_FIELDS, Source
from functions.common.errors import UniverseError
from functions.common.events import SOURCES
from functions.common.quick_check import Envelope

from .body import Dump

COLUMNS = (
    "event_id, day, occurred_at, received_at, user_id, revenue, "
    "source, funnel_stage, event_type, country, campaign_id, data, extra"
)
"""The order of the columns in a row's text."""

MAX_KEY_CHARACTERS = 200
"""Characters of a value that reports group by: index entries have a limit."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
                          "\t": "\\t", "\v": "\\v"})  # fmt: skip


class EventRow(NamedTuple):
    """One event, ready to be written.

    Attributes:
        day: UTC day it occurred on, as text.
        event_id: as it was sent.
        position: the place of the event in the batch.
        line: the row for COPY.
        rollup_key: hour, source, funnel stage, event type, country and campaign, as COPY text.
        occurred_at: RFC 3339 in UTC; text of two rows compares as their times do.
        user: the user's id as an element of an array literal, in COPY text.
        groups: demographic groups, likewise.
        revenue: of a purchase, else None.
    """

    day: str
    event_id: str
    position: int
    line: str
    rollup_key: str
    occurred_at: str
    user: str
    groups: tuple[str, ...]
    revenue: Decimal | None


class NotStorableError(UniverseError, ValueError):
    """A value that the contract allows and the database has no place for."""


NULL = "\\N"
"""As COPY text has it."""
_NUL = "a text has the character \\u0000, which PostgreSQL does not store"
_escaped_nul = re.compile(r"(?<!\\)(?:\\\\)*\\u0000").search
_ENVELOPE_SIZE = len(ENVELOPE_FIELDS)
_MAX_CACHED_DIMENSIONS = 10_000
_MAX_CACHED_GROUPS = 50_000 // len(SOURCES)  # of each source

_Dimensions = tuple[str, str, str, str | None, str | None]
"""Source, funnel stage, event type, country and campaign."""

_plain_dimensions: dict[_Dimensions, str] = {}
"""Those of plain events, as COPY text."""
_group_elements: dict[str, dict[tuple[str, ...], tuple[str, ...]]] = {name: {} for name in SOURCES}


_new_row: Any = tuple[Any, ...].__new__
"""Makes a row; `EventRow()` itself would take a third of the time a row takes."""


def make_row(
    sent: dict[str, Any], event: dict[str, Any], position: int, received_at: str, dump: Dump
) -> EventRow:
    """Return the row of a validated event.

    Args:
        sent: as it was sent.
        event: as `functions.common.events.EVENT` returned it.
        position: the place of the event in the batch.
        received_at: now, RFC 3339.
        dump: writes a part of the event as JSON.

    Raises:
        NotStorableError: a value is too long for the database's indexes, or is not Unicode.
    """
    timestamp = sent["timestamp"]
    if timestamp[-1] == "Z" and timestamp[10] == "T" and 20 <= len(timestamp) <= 27:
        occurred_at = timestamp[:-1] + "+00:00"  # it is in UTC, to microseconds at most
    elif timestamp[-6:] == "+00:00" and timestamp[10] == "T" and 25 <= len(timestamp) <= 32:
        occurred_at = timestamp
    else:
        occurred_at = event["timestamp"].astimezone(UTC).isoformat()
    data = dump(sent["data"])
    if "\\" in data:
        data = _escape_json(data)
    extra = NULL if len(sent) == _ENVELOPE_SIZE else _extra(sent, dump)
    return _row(event, position, received_at, occurred_at, data, extra)


def make_plain_row(
    sent: Envelope, event: dict[str, Any], position: int, received_at: str
) -> EventRow:
    """Return the row of a plain event, whose data is stored as it was written.

    Args:
        sent: as it was sent.
        event: as `check_envelope` returned it.
        position: as for `make_row`.
        received_at: as for `make_row`.

    Raises:
        NotStorableError: as `make_row`.
    """
    # as `_row`, but for the texts of data: they were written without an escape, and need none here
    source, time = sent.source, sent.timestamp
    event_id = safe_id = sent.event_id
    if not event_id.isprintable() or "\\" in event_id:
        _refuse_unstorable(event_id)
        safe_id = event_id.translate(_ESCAPES)
    declared = SOURCES[source]
    user_id, country, campaign_id, revenue, groups = declared.report_fields(event)
    if len(user_id) > MAX_KEY_CHARACTERS:
        _refuse_long(userId=user_id)
    key = source, sent.funnel_stage, sent.event_type, country, campaign_id
    dimensions = _plain_dimensions.get(key) or _make_plain_dimensions(key)
    occurred_at = time[:-1] + "+00:00" if time[-1] == "Z" else time
    day = time[:10]
    row = (
        day,
        event_id,
        position,
        f"{safe_id}\t{day}\t{occurred_at}\t{received_at}\t{user_id}\t"
        f"{NULL if revenue is None else revenue}\t{dimensions}\t"
        f"{str(sent.data, 'utf-8')}\t{NULL}\n",
        f"{time[:13]}:00:00+00\t{dimensions}",
        occurred_at,
        f'"{user_id}"',
        _group_elements[source].get(groups) or _make_group_elements(declared, groups),
        revenue,
    )
    return _new_row(EventRow, row)


def _make_plain_dimensions(key: _Dimensions) -> str:
    *_, country, campaign_id = key
    _refuse_long(country=country, campaignId=campaign_id)
    if len(_plain_dimensions) >= _MAX_CACHED_DIMENSIONS:
        _plain_dimensions.clear()
    text = _plain_dimensions[key] = _dimensions(*key)
    return text


def _dimensions(
    source: str, stage: str, event_type: str, country: str | None, campaign_id: str | None
) -> str:
    return (
        f"{source}\t{stage}\t{event_type}\t"
        f"{NULL if country is None else country}\t{NULL if campaign_id is None else campaign_id}"
    )


def _row(
    event: dict[str, Any], position: int, received_at: str, occurred_at: str, data: str, extra: str
) -> EventRow:
    source_name = event["source"]
    source = SOURCES[source_name]
    user_id, country, campaign_id, revenue, groups = source.report_fields(event)
    event_id = safe_id = event["eventId"]
    day = occurred_at[:10]

    probe = f"{event_id}{user_id}{country}{campaign_id}"
    if len(probe) > MAX_KEY_CHARACTERS:
        _refuse_long(userId=user_id, country=country, campaignId=campaign_id)
    if probe.isprintable() and "\\" not in probe and '"' not in probe:
        user = f'"{user_id}"'
    else:
        _refuse_unstorable(probe)
        user = _element(user_id)
        safe_id = event_id.translate(_ESCAPES)
        user_id = user_id.translate(_ESCAPES)
        country = country and country.translate(_ESCAPES)
        campaign_id = campaign_id and campaign_id.translate(_ESCAPES)

    dimensions = _dimensions(
        source_name, event["funnelStage"], event["eventType"], country, campaign_id
    )
    row = (
        day,
        event_id,
        position,
        f"{safe_id}\t{day}\t{occurred_at}\t{received_at}\t{user_id}\t"
        f"{NULL if revenue is None else revenue}\t{dimensions}\t{data}\t{extra}\n",
        f"{occurred_at[:13]}:00:00+00\t{dimensions}",
        occurred_at,
        user,
        _group_elements[source_name].get(groups) or _make_group_elements(source, groups),
        revenue,
    )
    return _new_row(EventRow, row)


def _element(text: str) -> str:
    """Return a text as a quoted element of an array literal, in COPY text."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'.translate(_ESCAPES)


def _make_group_elements(source: Source, values: tuple[str, ...]) -> tuple[str, ...]:
    groups = list(zip(source.dimensions, values, strict=False))
    for dimension, value in groups:
        _refuse_long(**{dimension: value})
        _refuse_unstorable(value)
    elements = tuple(_element(f"{dimension}={value}") for dimension, value in groups)
    cached = _group_elements[source.name]
    if len(cached) >= _MAX_CACHED_GROUPS:
        cached.clear()
    cached[values] = elements
    return elements


def _refuse_long(**values: str | None) -> None:
    for name, value in values.items():
        if value is not None and len(value) > MAX_KEY_CHARACTERS:
            raise NotStorableError(
                f"{name} has {len(value)} characters; at most {MAX_KEY_CHARACTERS} are stored"
            )


def _refuse_unstorable(text: str) -> None:
    if "\0" in text:
        raise NotStorableError(_NUL)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotStorableError("a text has a lone surrogate, which is not Unicode") from error


def _escape_json(text: str) -> str:
    """Return JSON text as COPY text."""
    # The database would refuse it too, but only after a search for the row at fault, and some
    # producers send nothing else.
    if "\\u0000" in text and _escaped_nul(text):
        raise NotStorableError(_NUL)
    return text.replace("\\", "\\\\")


def _extra(sent: dict[str, Any], dump: Dump) -> str:
    unknown = {name: value for name, value in sent.items() if name not in ENVELOPE_FIELDS}
    return _escape_json(dump(unknown))
