"""Messages in flight, parts of them, and deliveries: what goes into one invocation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from json import JSONDecoder
from typing import Any, NamedTuple, cast

import msgspec
import orjson

from functions.common.broker import EVENT_COUNT

_WHITE_SPACE = " \t\r\n"


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# numbers are not converted, so that none is too long or too large to parse
_scanner = JSONDecoder(parse_int=len, parse_float=len)
_reader = JSONDecoder(parse_int=len, parse_float=len, parse_constant=_reject_constant)


class MessageKey(NamedTuple):
    """Identifies a message or a part of one, also after its stream was deleted and created again.

    Attributes:
        sequence: the message's sequence in the stream.
        time: when it was stored, in nanoseconds since 1970.
        first: the index of the first event, for a part of a message.
        events: how many events, for a part of a message; 0 for a whole message.
    """

    sequence: int
    time: int
    first: int = 0
    events: int = 0


class AckTokens(NamedTuple):
    """The metadata in the reply subject of a delivered message.

    Attributes:
        delivered: how often the server has delivered it.
        sequence: its sequence in the stream.
        delivery: how many deliveries the consumer had made by then, this one included.
        time: when it was stored, in nanoseconds since 1970.
        pending: how many more the consumer had to deliver when it delivered this one.
    """

    delivered: int
    sequence: int
    delivery: int
    time: int
    pending: int


def parse_ack_subject(reply: str) -> AckTokens:
    """Parse a reply subject, in its form with or without a JetStream domain.

    Raises:
        ValueError: it is not the reply subject of a JetStream message.
    """
    tokens = reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>.<pending>
    first = 4 if len(tokens) == 9 else 6
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < first + 5:
        raise ValueError(f"not a JetStream reply subject: {reply}")
    delivered, sequence, delivery, time, pending = tokens[first : first + 5]
    return AckTokens(int(delivered), int(sequence), int(delivery), int(time), int(pending))


class Origin(NamedTuple):
    """Where a replayed message was before it was dead-lettered for the first time.

    Attributes:
        stream: its stream.
        sequence: its sequence there.
    """

    stream: str
    sequence: int


@dataclass(slots=True, eq=False)
class Message:
    """A message in flight, or a part of one.

    Attributes:
        key: identifies it.
        id: `<stream>:<sequence>`, the id that functions see.
        subject: the subject it was published to.
        reply: the subject that acknowledges its last delivery.
        data: the payload.
        headers: its headers.
        events: how many events it holds: the length of a JSON array, else 1.
        is_json: whether the payload is valid JSON.
        delivered: how often it was delivered, this time included, as far as the server or, with
            `recalled`, the connectors know.
        calls: how often this connector has invoked the function with it.
        progress_sent_at: when the server was last told that it is in progress (monotonic clock).
        parent: the message that this is a part of.
        origin: where it was before, if it was dead-lettered and replayed.
        size: bytes of the payload.
        unresolved: how many of its events are neither done nor dead.
        dead: how many of its events are dead.
        known_elements: what `elements` returns, once it is known.
        recalled: whether what other connectors charged to it is known.
        order_key: the key of a whole message, where a function gets messages in order by key.
        part_attempts: attempts charged to parts of it, by first event and number of events.
    """

    key: MessageKey
    id: str
    subject: str
    reply: str
    data: bytes
    headers: dict[str, str]
    events: int
    is_json: bool
    delivered: int
    calls: int = 0
    progress_sent_at: float = 0.0
    parent: "Message | None" = None
    origin: Origin | None = None
    size: int = field(init=False)
    unresolved: int = field(init=False)
    dead: int = 0
    known_elements: list[bytes] | None = None
    recalled: bool = False
    order_key: str | None = None
    part_attempts: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    _lower_headers: dict[str, str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.size = len(self.data)
        self.unresolved = self.events

    @property
    def lower_headers(self) -> dict[str, str]:
        """Its headers by their names in lower case; made once, several parts of a call ask."""
        if self._lower_headers is None:
            self._lower_headers = {name.lower(): value for name, value in self.headers.items()}
        return self._lower_headers

    @property
    def top(self) -> "Message":
        """The whole message."""
        return self.parent or self

    @property
    def separable_events(self) -> int:
        """How many events it holds that can be delivered separately; 1 if it cannot be split."""
        return self.events if len(self.elements()) == self.events else 1

    def elements(self) -> list[bytes]:
        """Return the bytes of each of its events.

        A payload is split only if its publisher declared it an array of events, by a header with
        their number: any other array may be meaningful only as a whole.
        """
        if self.known_elements is None:
            several = self.events > 1 and self.headers.get(EVENT_COUNT) == str(self.top.events)
            self.known_elements = split_array(self.data) if several else [self.data]
        return self.known_elements


def halve(message: Message) -> tuple[Message, Message] | None:
    """Return the two halves of a message that holds several events; None if it cannot be split."""
    if message.separable_events == 1:
        return None
    middle = message.events // 2
    return _part(message, 0, middle), _part(message, middle, message.events)


def _part(message: Message, start: int, end: int) -> Message:
    top, elements = message.top, message.elements()[start:end]
    first = message.key.first + start
    return Message(
        key=MessageKey(top.key.sequence, top.key.time, first, len(elements)),
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
        known_elements=elements,
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """The messages of one invocation.

    Attributes:
        messages: at least one.
        failures: how often they failed together.
        exclusive: no other invocation runs beside it. A message that kills the function's process
            takes other invocations with it, and their messages would be charged for it.
        successes: how many invocations had succeeded when an attempt was last charged.
    """

    messages: Sequence[Message]
    failures: int = 0
    exclusive: bool = False
    successes: int = -1

    @property
    def events(self) -> int:
        """How many events its messages hold."""
        return sum(message.events for message in self.messages)


# They check what is JSON as they pass over it, besides UTF-8, and make a Python object of no value:
# that takes a fifth of the time.
_array: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value: Callable[[bytes], msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw).decode


def inspect_payload(data: bytes) -> tuple[bool, int]:
    """Return whether a payload is valid JSON, and how many events it holds."""
    events = _count_plain(data)
    if events is not None:
        return True, events
    try:
        value = _read(data)
    except (ValueError, RecursionError):
        return False, 1
    return True, max(len(cast("list[Any]", value)), 1) if isinstance(value, list) else 1


def _count_plain(data: bytes) -> int | None:
    """Return how many events are in what is JSON for certain; None: it may be, or not."""
    try:
        if not data.isascii():
            data.decode()
        if data[:1] == b"[":
            return max(len(_array(data)), 1)
        if data[:1] == b"{":
            _value(data)
            return 1
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        pass
    return None


def _read(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        # orjson rejects numbers beyond a float's range and lone surrogates, which are valid JSON
        return _reader.decode(data.decode())


def split_array(data: bytes) -> list[bytes]:
    """Return the bytes of each element of a JSON array, unchanged.

    A payload that is not a JSON array is returned as the only element.
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
