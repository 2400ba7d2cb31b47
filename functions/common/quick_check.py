"""A quick check of events: what it returns, the contract returns too, after twice as long.

Most events are plain: they fulfil the contract, have no field that it does not know, and no escape
in a text of `data`. msgspec checks those while it parses them, by types that are made of the
contract's declarations. Of all others it says nothing: pydantic (`functions.common.events.EVENT`)
judges them, and says what is wrong.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict, Union
from typing import get_args as arguments
from typing import get_origin as origin

import msgspec
from annotated_types import Ge, Le
from pydantic import StringConstraints
from pydantic.fields import FieldInfo
from typing_extensions import get_type_hints, is_typeddict

from functions.common.contract import MAX_ID_LENGTH, ActionTime, plain_utc, read_plain_time
from functions.common.errors import UniverseError
from functions.common.events import SOURCES

UNREADABLE = (msgspec.DecodeError, RecursionError)
"""What `split` raises where a text is no array in JSON."""

split: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""Returns the bytes of each element of an array. Whether texts are UTF-8 is not looked at."""


class Envelope(msgspec.Struct, forbid_unknown_fields=True, rename="camel", gc=False):
    """An event whose `data` is not looked at yet."""

    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    timestamp: str
    source: str
    funnel_stage: str
    event_type: str
    data: msgspec.Raw


_read_envelope: Callable[[bytes], Envelope] = msgspec.json.Decoder(Envelope).decode
read_envelopes: Callable[[bytes], list[Envelope]] = msgspec.json.Decoder(list[Envelope]).decode
"""Reads an array of events that have no field which the contract does not know, besides in `data`;
raises one of `UNREADABLE` where there are others."""
_UNUSUAL = b'"\\\n\r\t'
_SMALL = 1e-200
"""Numbers below may be too small for the database, which has no 1e-99999, or are 0."""
_MAX_BYTES_WITH_NUMBER = 8000
"""More than the texts of any `data` take; the database has no number of 16,384 digits."""


def check_plain(text: bytes) -> dict[str, Any] | None:
    """Return what `validate_json` returns of the JSON text of a plain event; None: ask it."""
    try:
        return check_envelope(_read_envelope(text))
    except UNREADABLE:
        return None


def check_envelope(event: Envelope) -> dict[str, Any] | None:
    """Do the same with an event that is read in part."""
    source, stage, event_type = event.source, event.funnel_stage, event.event_type
    kind = KINDS.get((source, stage, event_type))
    time = read_plain_time(event.timestamp)
    if kind is None or time is None:
        return None
    data_text = bytes(event.data)
    try:
        data = kind.decode(data_text)
    except UNREADABLE:
        return None
    quotes = kind.quotes
    for parent, name in kind.optional:
        fields = data[parent]
        if name in fields:
            quotes += 2 if fields[name] is None else 4
    # The texts that are known have so many quotation marks. Anything more is part of what is not
    # known or repeated, or an escape, or a line break.
    if len(data_text) - len(data_text.translate(None, _UNUSUAL)) != quotes:
        return None
    for parent, name in kind.times:
        # nearly always there is none, or it is the event's own
        usual = name not in data[parent] or data[parent][name] in (None, event.timestamp)
        if not usual and plain_utc(data[parent][name]) is None:
            return None
    if kind.numbers and _is_hard_to_store(kind, data, data_text):
        return None
    return {
        "eventId": event.event_id,
        "timestamp": time,
        "source": source,
        "funnelStage": stage,
        "eventType": event_type,
        "data": data,
    }


def _is_hard_to_store(kind: "Kind", data: dict[str, Any], text: bytes) -> bool:
    """Tell whether the database may have no place for a number as it is written."""
    if len(text) > _MAX_BYTES_WITH_NUMBER:
        return True
    for parent, name in kind.numbers:
        if data[parent][name] < _SMALL and (b"e-" in text or b"E-" in text):
            return True
    return False


class _UnknownError(UniverseError):
    """Something in a declaration is not known here."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Events of one source and stage.

    Attributes:
        data: the type of `data` for msgspec, a `TypedDict`.
        decode: reads `data`, without fields that it does not know.
        quotes: how many quotation marks there are in any `data`: those of what it has to have.
        optional: the texts that may be missing or null, each with the object in `data` it is in.
        times: the texts that are times, likewise. msgspec would take three times as long to check
            them: it asks Python's regular expressions.
        numbers: the numbers that may have a fraction, likewise.
    """

    data: Any
    decode: Callable[[bytes], dict[str, Any]]
    quotes: int
    optional: tuple[tuple[str, str], ...]
    times: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, str], ...]


class _Types:
    """Makes the types that msgspec reads out of those that pydantic checks."""

    def __init__(self) -> None:
        self.quotes = 0
        self.optional: list[tuple[str, str]] = []
        self.times: list[tuple[str, str]] = []
        self.numbers: list[tuple[str, str]] = []

    def typed_dict(self, declared: Any, *path: str) -> Any:
        """Return the type of an object at a path in `data`."""
        fields = {
            name: self._field(field, *path, name)
            for name, field in get_type_hints(declared, include_extras=True).items()
        }
        make: Any = TypedDict
        return make(declared.__name__, {name: field for name, field in fields.items() if field})

    def _field(self, declared: Any, *path: str) -> Any:
        """Return the type of a field; None: an event that has it is not plain."""
        required = origin(declared) is not NotRequired
        plain = arguments(declared)[0] if origin(declared) in (NotRequired, Required) else declared
        if is_typeddict(plain) and required:
            self.quotes += 2
            return self.typed_dict(plain, *path)
        if len(path) == 2 and any(each is ActionTime for each in (plain, *arguments(plain))):
            self.times.append((path[0], path[1]))
            plain = str if plain is ActionTime else str | None
        try:
            converted, types = _scalar(plain)
        except _UnknownError:
            if required:
                raise
            return None
        if required and NoneType not in types:
            self.quotes += 4 if str in types else 2
            if float in types:
                if len(path) != 2:
                    raise _UnknownError(declared)
                self.numbers.append((path[0], path[1]))
            return converted
        if len(path) != 2 or str not in types:
            raise _UnknownError(declared)
        self.optional.append((path[0], path[1]))
        return converted if required else NotRequired[converted]


def _scalar(declared: Any) -> tuple[Any, set[type]]:
    """Return the type of a value for msgspec, and which Python types values of it have.

    Raises:
        _UnknownError: there is none.
    """
    if declared in (str, int, float, NoneType):
        return declared, {declared}
    if origin(declared) is Literal:
        if all(isinstance(value, str) for value in arguments(declared)):
            return declared, {str}
    elif origin(declared) in (Union, UnionType):
        members = [_scalar(each) for each in arguments(declared)]
        types = set[type]().union(*(types for _, types in members))
        if len(types - {NoneType}) == 1:
            return Union[tuple(each for each, _ in members)], types  # noqa: UP007
    elif origin(declared) is Annotated:
        base, types = _scalar(declared.__origin__)
        return Annotated[base, msgspec.Meta(**_bounds(declared.__metadata__))], types
    raise _UnknownError(declared)


def _bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for each in metadata:
        if isinstance(each, FieldInfo) and not (each.alias or each.validation_alias):
            bounds |= _bounds(each.metadata)
        elif isinstance(each, StringConstraints):
            given = {name: value for name, value in asdict(each).items() if value is not None}
            if not given.keys() <= {"min_length", "max_length", "pattern"}:
                raise _UnknownError(each)
            if "pattern" in given:
                # elsewhere than in Python, $ is the end and not also before a last line end
                given["pattern"] = str(given["pattern"]).replace("$", r"\Z")
            bounds |= given
        elif isinstance(each, Ge):
            bounds["ge"] = each.ge
        elif isinstance(each, Le):
            bounds["le"] = each.le
        else:
            raise _UnknownError(each)
    return bounds


def _typed_dicts(declared: Any) -> Iterator[Any]:
    """Yield the members of a union, annotated ones too."""
    if is_typeddict(declared):
        yield declared
    for each in arguments(declared):
        yield from _typed_dicts(each)


def _kinds(declared: Any) -> Iterator[tuple[tuple[str, str, str], Kind]]:
    """Yield the kinds of a declaration; none where it is not understood, so pydantic checks all."""
    fields = get_type_hints(declared, include_extras=True)
    types = _Types()
    try:
        data = types.typed_dict(fields["data"])
    except _UnknownError:
        return
    kind = Kind(
        data,
        msgspec.json.Decoder(data).decode,
        types.quotes,
        tuple(types.optional),
        tuple(types.times),
        tuple(types.numbers),
    )
    for source, stage, event_type in product(
        *(arguments(fields[name]) for name in ("source", "funnelStage", "eventType"))
    ):
        yield (source, stage, event_type), kind


KINDS = dict(
    item
    for source in SOURCES.values()
    for declared in _typed_dicts(source.event)
    for item in _kinds(declared)
)
"""By source, stage and type of event."""
