"""From a request's body to the bytes of its events."""

import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any

import orjson
from msgspec import Raw

from functions.common.correlation import HeaderLookup
from functions.common.errors import RequestRefusedError
from functions.common.http.body import BYTE_ORDER_MARK, NDJSON_TYPES, lines
from functions.common.quick_check import UNREADABLE, split

# `curl -d` sends x-www-form-urlencoded whatever the body is, and many webhooks send no type
JSON_TYPES = frozenset(
    {"", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded"}
)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_DECODED_BYTES = 256 * 1024
_SHORT_BYTES = 16 * 1024
_SHORT_ARRAY_BYTES = 256 * 1024
"""Split into elements at once: if all are empty they take 10 MB."""
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


def is_ndjson(headers: HeaderLookup) -> bool:
    """Tell whether the body holds one event per line (NDJSON), rather than JSON.

    Raises:
        RequestRefusedError: 415, the media type or the charset is another.
    """
    content_type = headers.get("content-type") or ""
    if content_type == "application/json":
        return False
    media_type = content_type.partition(";")[0].strip().lower()
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower() not in _UTF8:
        raise RequestRefusedError(415, f"The charset {charset[1]} is not supported: send UTF-8.")
    if media_type in NDJSON_TYPES:
        return True
    if media_type in JSON_TYPES or media_type.endswith("+json"):
        return False
    raise RequestRefusedError(
        415,
        f"The content type {media_type} is not supported: "
        "send application/json or application/x-ndjson.",
    )


def is_short_object(body: bytes) -> bool:
    """Tell whether a body is one event, if it is JSON at all, and a short one.

    Such a body may be validated at once, as nearly all are. Where that fails, `iter_events` says
    whether it is JSON.
    """
    return len(body) <= _SHORT_BYTES and body.startswith(b"{") and body.endswith(b"}")


def iter_events(
    body: bytes, *, ndjson: bool, max_events: int, max_event_bytes: int = 1024**2
) -> Iterator[bytes | None]:
    """Yield the bytes of each event in the body: one object, an array, or one per line.

    No element of an array is parsed here, so none takes more memory than its bytes. Where an
    element may not be JSON, the contract says so later (`require_element`). A line that is not JSON
    is yielded like the others, to be rejected on its own.

    Args:
        body: decompressed.
        ndjson: whether it holds one event per line.
        max_events: the most events.
        max_event_bytes: what is larger is not parsed at all.

    Yields:
        An event, or None where it took long to find the next: others may be served meanwhile.

    Raises:
        RequestRefusedError: 400, the body is empty or not JSON; 413, it has too many events.
    """
    body = body.removeprefix(BYTE_ORDER_MARK).strip(b" \t\r\n")
    if not body:
        raise RequestRefusedError(
            400, "The body is empty: send an event, an array of events, or NDJSON."
        )
    if ndjson:
        for count, line in enumerate(lines(body)):
            if count == max_events:
                raise _too_many(max_events)
            yield line
    elif body.startswith(b"["):
        elements = _elements_of_short(body) if len(body) <= _SHORT_ARRAY_BYTES else None
        if elements is None:
            yield from _elements(body, max_events, max_event_bytes)
        elif len(elements) > max_events:
            raise _too_many(max_events)
        else:
            yield from map(bytes, elements)
    else:
        if len(body) <= max_event_bytes:
            _require_json(body)
        yield body


def _too_many(max_events: int) -> RequestRefusedError:
    return RequestRefusedError(
        413,
        f"The request has more than {max_events} events: send several requests.",
        reason="too_many_events",
    )


def _require_json(event: bytes) -> None:
    """Refuse a body that is not JSON at all, instead of rejecting it as an event."""
    try:
        orjson.loads(event)
    except orjson.JSONDecodeError as error:
        _require_utf8(event)
        # orjson is stricter than JSON about depth, lone surrogates and large numbers
        text = str(error)
        if not any(word in text.lower() for word in ("surrogate", "recursion", "infinity")):
            raise RequestRefusedError(400, f"The body is not JSON: {text}.") from error


# The scanner tells what is JSON. Numbers are not converted: their size does not matter here, and
# Python refuses to convert very long ones.
_decoder = JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - typeshed leaves it out


def require_element(event: bytes, index: int) -> None:
    """Refuse the whole body for an element of its array that is not JSON.

    Args:
        event: the element.
        index: its place in the array, from 0.

    Raises:
        RequestRefusedError: 400.
    """
    text = event.decode()
    where = f"character %d of event {index}"
    try:
        end = _scan(text, 0)[1]
    except StopIteration as error:
        raise _not_json("a value expected", where % error.value) from error
    except JSONDecodeError as error:
        raise _not_json(error.msg, where % error.pos) from error
    except RecursionError:
        return  # nested too deep to tell; the contract rejects it
    if end != len(text):
        raise _not_json("',' or ']' expected", where % end)


# All quantifiers are possessive, and a text without an end matches nothing: no byte is looked at
# more often than there are levels.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rb'[^"\[\]{}]*+(?:' + _TEXT + rb'[^"\[\]{}]*+)*+'
_LEVELS = 6
"""Levels of arrays and objects that one expression finds the end of; events have four."""


def _nested(levels: int) -> bytes:
    inner = _FLAT if levels == 1 else _FLAT + rb"(?:" + _nested(levels - 1) + _FLAT + rb")*+"
    return rb"[\[{]" + inner + rb"[\]}]"


_container = re.compile(_nested(_LEVELS), re.DOTALL).match
_text = re.compile(_TEXT, re.DOTALL).match
_scalar = re.compile(rb"[^\s,\[\]{}\"]++").match
_OPENING = frozenset({b"[", b"{"})
_BLANK_BYTES = frozenset({b" ", b"\t", b"\r", b"\n"})
_blank = re.compile(rb"[ \t\r\n]*+").match
_token = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]++|[\]}]', re.DOTALL)
_TOKENS_AT_ONCE = 20_000


def _elements_of_short(body: bytes) -> list[Raw] | None:
    """Split an array; None where that is not JSON, or may be: `_elements` finds out why."""
    _require_utf8(body)
    try:
        return split(body)
    except UNREADABLE:
        return None


def _elements(body: bytes, max_events: int, max_event_bytes: int) -> Iterator[bytes | None]:
    """Yield the elements of an array, by its brackets and texts."""
    _require_utf8(body)
    at = _skip(body, 1)
    index = 0
    end_reached = body[at : at + 1] == b"]"
    while not end_reached:
        if index == max_events:  # before the rest is looked at
            raise _too_many(max_events)
        composed = body[at : at + 1] in _OPENING
        found = _container(body, at) if composed else None
        end = found.end() if found else at
        if not found:
            for end in _end_of_element(body, at):
                if not end:
                    yield None
        if not composed and end - at <= max_event_bytes:
            require_element(body[at:end], index)
        yield body[at:end]
        index += 1
        at = _skip(body, end)
        end_reached = body[at : at + 1] == b"]"
        if not end_reached:
            if body[at : at + 1] != b",":
                raise _not_json("',' or ']' expected", f"byte {at}")
            at = _skip(body, at + 1)
    if at + 1 != len(body):
        raise _not_json("nothing expected after the array", f"byte {at + 1}")


def _end_of_element(body: bytes, at: int) -> Iterator[int]:
    """Find the end of the element at `at`, which `_container` did not find.

    Yields:
        0 now and then, while it is not found; last the end.
    """
    first = body[at : at + 1]
    if first in _OPENING:
        yield from _end_by_brackets(body, at)
        return
    found = _text(body, at) if first == b'"' else _scalar(body, at)
    if found is None:
        raise _not_json("a value expected", f"byte {at}")
    yield found.end()


def _end_by_brackets(body: bytes, at: int) -> Iterator[int]:
    """Do the same for an element that is nested deeper than an expression goes."""
    depth = 0
    for number, token in enumerate(_token.finditer(body, at), 1):
        if token[0][0] in b"[{":
            depth += len(token[0])
        elif token[0][0] in b"]}":
            depth -= 1
            if depth == 0:
                yield token.end()
                return
        if number % _TOKENS_AT_ONCE == 0:
            yield 0
    raise _not_json("the body ends within a value", f"byte {len(body)}")


def _require_utf8(body: bytes) -> None:
    if body.isascii():
        return
    decoder = getincrementaldecoder("utf-8")()
    for at in range(0, len(body), _DECODED_BYTES):
        waiting = len(decoder.getstate()[0])
        part = body[at : at + _DECODED_BYTES]
        try:
            decoder.decode(part, final=at + len(part) == len(body))
        except UnicodeDecodeError as error:
            where = at - waiting + error.start
            raise RequestRefusedError(400, f"The body is not UTF-8: byte {where}.") from error


def _skip(body: bytes, at: int) -> int:
    if body[at : at + 1] not in _BLANK_BYTES:
        return at
    found = _blank(body, at)
    return found.end() if found else at


def _not_json(what: str, where: str) -> RequestRefusedError:
    return RequestRefusedError(400, f"The body is not JSON: {what} at {where}.")
