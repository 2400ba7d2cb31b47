"""From a request's body to the bytes of its events."""

import re
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request

from functions.common.errors import RequestRefusedError
from functions.common.http.body import BYTE_ORDER_MARK, NDJSON_TYPES, body_too_large

# `curl -d` sends x-www-form-urlencoded whatever the body is, and many webhooks send no type
JSON_TYPES = frozenset(
    {"", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded"}
)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


def is_ndjson(headers: Headers) -> bool:
    """Tell whether the body holds one event per line (NDJSON), rather than JSON.

    Raises:
        RequestRefusedError: 415, the media type or the charset is another.
    """
    content_type = headers.get("content-type", "")
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


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body as it was sent.

    Raises:
        RequestRefusedError: 413, it is longer than `limit` bytes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise body_too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise body_too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def split_events(body: bytes, *, ndjson: bool, max_events: int) -> list[bytes]:
    """Return the bytes of each event in the body: one object, an array, or one per line.

    A line that is not JSON is returned like the others, to be rejected on its own.

    Args:
        body: decompressed.
        ndjson: whether it holds one event per line.
        max_events: the most events.

    Raises:
        RequestRefusedError: 400, the body is empty or not JSON; 413, it has too many events.
    """
    body = body.removeprefix(BYTE_ORDER_MARK).strip(b" \t\r\n")
    if not body:
        raise RequestRefusedError(
            400, "The body is empty: send an event, an array of events, or NDJSON."
        )
    if ndjson:
        events = [line for line in map(bytes.strip, body.split(b"\n")) if line]
    elif body.startswith(b"["):
        events = _elements(body, max_events)
    else:
        _require_json(body)
        return [body]
    if len(events) > max_events:
        raise _too_many(max_events)
    return events


def _too_many(max_events: int) -> RequestRefusedError:
    return RequestRefusedError(
        413, f"The request has more than {max_events} events: send several requests."
    )


def _require_json(event: bytes) -> None:
    """Refuse a body that is not JSON at all, instead of rejecting it as an event."""
    try:
        orjson.loads(event)
    except orjson.JSONDecodeError as error:
        # orjson is stricter than JSON about depth, lone surrogates and large numbers
        text = str(error)
        if not any(word in text.lower() for word in ("surrogate", "recursion", "infinity")):
            raise RequestRefusedError(400, f"The body is not JSON: {text}.") from error


# The scanner only finds where elements end. Numbers are not converted: their size does not matter
# here, and Python refuses to convert very long ones.
_decoder = JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - typeshed leaves it out
_blank = re.compile(r"[ \t\r\n]*").match


def _elements(body: bytes, max_events: int) -> list[bytes]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RequestRefusedError(400, f"The body is not UTF-8: byte {error.start}.") from error
    spans: list[str] = []
    at = _skip(text, 1)
    if text.startswith("]", at):
        at += 1
    else:
        while True:
            if len(spans) == max_events:  # before the rest is scanned, which may be millions
                raise _too_many(max_events)
            end = _end_of_element(text, at)
            spans.append(text[at:end])
            at = _skip(text, end)
            if text.startswith("]", at):
                at += 1
                break
            if not text.startswith(",", at):
                raise _not_json("',' or ']' expected", at)
            at = _skip(text, at + 1)
    if at != len(text):
        raise _not_json("nothing expected after the array", at)
    return [span.encode() for span in spans]


def _end_of_element(text: str, at: int) -> int:
    try:
        return _scan(text, at)[1]
    except StopIteration as error:
        raise _not_json("a value expected", error.value) from error
    except JSONDecodeError as error:
        raise _not_json(error.msg, error.pos) from error
    except RecursionError:
        return _end_by_brackets(text, at)


# possessive, and a string without an end is one token: no byte is scanned twice
_token = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


def _end_by_brackets(text: str, at: int) -> int:
    """Find the end of an element that is nested too deep for the scanner."""
    depth = 0
    for token in _token.finditer(text, at):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if depth == 0:
                return token.end()
    raise _not_json("the body ends within a value", len(text))


def _skip(text: str, at: int) -> int:
    found = _blank(text, at)
    return found.end() if found else at


def _not_json(what: str, at: int) -> RequestRefusedError:
    return RequestRefusedError(400, f"The body is not JSON: {what} at character {at}.")
