"""A message in hand."""

from dataclasses import dataclass, field
from json import JSONDecoder
from typing import Any, NamedTuple

import orjson

from functions.common.broker import EVENT_COUNT

_WHITE_SPACE = " \t\r\n"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# numbers are not converted, so that none is too long or too large
_scanner = JSONDecoder(parse_int=len, parse_float=len)  # type: ignore[arg-type]
_reader = JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse)  # type: ignore[arg-type]


class Key(NamedTuple):
    """Tells messages apart, also those of a stream that was deleted and made anew.

    Attributes:
        sequence: the place in the stream.
        time: when it was stored, in nanoseconds since 1970.
        first: of a part of a message, the index of its first event.
        events: of a part of a message, how many events; 0 for a whole one.
    """

    sequence: int
    time: int
    first: int = 0
    events: int = 0


class AckTokens(NamedTuple):
    """What the reply subject of a delivered message tells.

    Attributes:
        delivered: how often the server has delivered it.
        sequence: its place in the stream.
        time: when it was stored, in nanoseconds since 1970.
        pending: how many more the consumer had to deliver then.
    """

    delivered: int
    sequence: int
    time: int
    pending: int


def read_ack_subject(reply: str) -> AckTokens:
    """Read a reply subject, with or without a JetStream domain in it.

    Raises:
        ValueError: it is not the reply subject of a JetStream message.
    """
    tokens = reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>.<pending>
    first = 4 if len(tokens) == 9 else 6
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < first + 5:
        raise ValueError(f"not a JetStream reply subject: {reply}")
    delivered, sequence, _, time, pending = tokens[first : first + 5]
    return AckTokens(int(delivered), int(sequence), int(time), int(pending))


@dataclass(slots=True, eq=False)
class Message:
    """A message between the stream and the function, or a part of one.

    Attributes:
        key: tells it apart.
        id: `<stream>:<sequence>`, as functions see it.
        subject: where it was published.
        reply: the subject that acknowledges its last delivery.
        data: the payload.
        headers: its headers.
        events: how many events it holds: the length of a JSON array, else 1.
        is_json: whether the payload is valid JSON.
        delivered: how often the server delivered it.
        calls: how often it was part of an invocation here.
        beat: when the server last heard that it is worked on.
        parent: the message that this is a part of.
        size: bytes of the payload.
        unresolved: how many of its events are neither done nor dead.
        dead: how many of its events are dead.
    """

    key: Key
    id: str
    subject: str
    reply: str
    data: bytes
    headers: dict[str, str]
    events: int
    is_json: bool
    delivered: int
    calls: int = 0
    beat: float = 0.0
    parent: "Message | None" = None
    size: int = field(init=False)
    unresolved: int = field(init=False)
    dead: int = 0
    _elements: list[bytes] | None = None

    def __post_init__(self) -> None:
        self.size = len(self.data)
        self.unresolved = self.events

    @property
    def top(self) -> "Message":
        """The whole message."""
        return self.parent or self

    @property
    def events_apart(self) -> int:
        """How many events it holds that can be delivered apart; 1 if none."""
        return self.events if len(self.elements()) == self.events else 1

    def elements(self) -> list[bytes]:
        """Return the bytes of each of its events.

        A payload is an array of events only if its publisher says so: any other array may be
        something that makes no sense in parts.
        """
        if self._elements is None:
            several = self.events > 1 and self.headers.get(EVENT_COUNT) == str(self.top.events)
            self._elements = split_array(self.data) if several else [self.data]
        return self._elements


def halve(message: Message) -> tuple[Message, Message] | None:
    """Return the two halves of a message that holds several events, or None."""
    if message.events_apart == 1:
        return None
    middle = message.events // 2
    return _part(message, 0, middle), _part(message, middle, message.events)


def _part(message: Message, start: int, end: int) -> Message:
    top, elements = message.top, message.elements()[start:end]
    first = message.key.first + start
    part = Message(
        key=Key(top.key.sequence, top.key.time, first, len(elements)),
        id=f"{top.id}/{first}-{first + len(elements) - 1}",
        subject=top.subject,
        reply="",
        data=b"[" + b",".join(elements) + b"]",
        headers=top.headers,
        events=len(elements),
        is_json=True,
        delivered=top.delivered,
        calls=message.calls,
        parent=top,
    )
    part._elements = elements
    return part


def inspect_payload(data: bytes) -> tuple[bool, int]:
    """Return whether a payload is valid JSON, and how many events it holds."""
    try:
        value = _read(data)
    except (ValueError, RecursionError):
        return False, 1
    return True, max(len(value), 1) if isinstance(value, list) else 1


def _read(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # it refuses numbers beyond a float's range and lone surrogates, which are JSON all the same
        return _reader.decode(data.decode())


def split_array(data: bytes) -> list[bytes]:
    """Return the bytes of each element of a JSON array as they stand in it.

    Anything else is its own only element.
    """
    text = data.decode("utf-8", "surrogateescape")
    start = _skip(text, 0)
    if text[start : start + 1] != "[":
        return [data]
    elements: list[bytes] = []
    place = _skip(text, start + 1)
    try:
        while text[place : place + 1] != "]":
            _, end = _scanner.raw_decode(text, place)
            elements.append(text[place:end].encode("utf-8", "surrogateescape"))
            place = _skip(text, end)
            if text[place : place + 1] == ",":
                place = _skip(text, place + 1)
    except (ValueError, RecursionError):
        return [data]
    return elements or [data]


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] and text[place] in _WHITE_SPACE:
        place += 1
    return place
