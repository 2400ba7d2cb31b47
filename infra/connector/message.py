"""A message in hand."""

from dataclasses import dataclass, field
from json import JSONDecoder
from typing import NamedTuple

import orjson

_WHITE_SPACE = " \t\r\n"
_decoder = JSONDecoder()


class Key(NamedTuple):
    """Tells messages apart, also those of a stream that was deleted and made anew."""

    sequence: int
    time: int


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
    """A message between the stream and the function.

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
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.data)


def inspect_payload(data: bytes) -> tuple[bool, int]:
    """Return whether a payload is valid JSON, and how many events it holds."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return False, 1
    return True, max(len(value), 1) if isinstance(value, list) else 1


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
            _, end = _decoder.raw_decode(text, place)
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
