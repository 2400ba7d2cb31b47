"""Plain events, of which ingest needs no more than what they say of themselves.

`check_plain` makes the event that `process-batch` stores; here msgspec checks it by types that are
made of the same ones, field by field, and makes less. That takes two thirds of the time.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NotRequired, get_args, get_origin

import msgspec
from typing_extensions import get_type_hints, is_typeddict

from functions.common.contract import MAX_ID_LENGTH, plain_utc, read_plain_time
from functions.common.quick_check import KINDS, UNREADABLE, Kind, check_plain

Identity = tuple[str, str, datetime]
"""The source, the id and the time of an event."""


def identify_plain(text: bytes) -> Identity | None:
    """Return who a plain event says it is; None: only the contract can tell whether it is valid.

    What says its kind stands together in most events. It is looked up as it is written, which only
    chooses the types to read it by: these tell whether it is what it says.
    """
    at = text.find(b'"source"')
    reader = _READERS.get(text[at : text.find(b'"data"', at)])
    if reader is None:
        event = check_plain(text)
        return (event["source"], event["eventId"], event["timestamp"]) if event else None
    read, times = reader
    try:
        found = read(text)
    except UNREADABLE:
        return None
    for of in times:
        # nearly always there is none, or it is the event's own
        written = of(found)
        if not (written is None or written == found.timestamp or plain_utc(written)):
            return None
    time = read_plain_time(found.timestamp)
    return (found.source, found.eventId, time) if time else None


_Reader = tuple[Callable[[bytes], Any], tuple[Callable[[Any], str | None], ...]]
"""What reads events of a kind, and what returns each of the times in their `data`."""


@cache
def _struct(declared: Any) -> type[msgspec.Struct]:
    """Return the same type with attributes for keys, and nothing besides them."""
    fields = get_type_hints(declared, include_extras=True)
    return msgspec.defstruct(
        declared.__name__, [_field(name, each) for name, each in fields.items()], **_OPTIONS
    )


_OPTIONS: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}


def _field(name: str, declared: Any) -> tuple[str, Any] | tuple[str, Any, None]:
    if get_origin(declared) is NotRequired:
        return name, get_args(declared)[0], None
    return name, _struct(declared) if is_typeddict(declared) else declared


def _reader(kind: Kind) -> _Reader:
    sources, stages, types = zip(*_names(kind), strict=True)
    fields = {
        "eventId": Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)],
        "timestamp": str,
        "source": Literal[sources],
        "funnelStage": Literal[stages],
        "eventType": Literal[types],
        "data": _struct(kind.data),
    }
    event = msgspec.defstruct("PlainEvent", [*fields.items()], **_OPTIONS)
    times = (attrgetter(f"data.{parent}.{name}") for parent, name in kind.times)
    return msgspec.json.Decoder(event).decode, tuple(times)


def _names(kind: Kind) -> list[tuple[str, str, str]]:
    """Return the sources, stages and types of events of a kind: each with each."""
    return [names for names, each in KINDS.items() if each is kind]


def _as_written(source: str, stage: str, event_type: str, blank: str) -> bytes:
    fields = (("source", source), ("funnelStage", stage), ("eventType", event_type))
    return "".join(f'"{name}":{blank}"{value}",{blank}' for name, value in fields).encode()


_READERS = {
    _as_written(*names, blank): reader
    for kind in set(KINDS.values())
    for reader in (_reader(kind),)
    for names in _names(kind)
    for blank in ("", " ")
}
"""By what is written from `source` to `data`: without spaces, or as Python's `json` does it."""
