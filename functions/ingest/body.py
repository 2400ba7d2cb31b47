"""From a request's body to the bytes of its events."""

import re
from json import JSONDecodeError, JSONDecoder

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request

from functions.common.errors import BodyTooLargeError, GzipError
from functions.common.gzip_body import gunzip

from .errors import Refusal

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
# `curl -d` says x-www-form-urlencoded whatever it sends, and many webhooks say nothing
JSON = frozenset(
    {"", "application/json", "text/json", "text/plain", "application/x-www-form-urlencoded"}
)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"


def is_ndjson(headers: Headers) -> bool:
    """Tell whether the body holds an event a line. Raises Refusal (415) for other than JSON."""
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower() not in _UTF8:
        raise Refusal(415, f"The charset {charset[1]} is not supported: send UTF-8.")
    if media_type in NDJSON:
        return True
    if media_type in JSON or media_type.endswith("+json"):
        return False
    raise Refusal(
        415,
        f"The content type {media_type} is not supported: "
        "send application/json or application/x-ndjson.",
    )


async def read(request: Request, limit: int) -> bytes:
    """Return the body as it was sent. Raises Refusal (413) where it is longer than `limit`."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(limit: int) -> Refusal:
    """Return the refusal of a body that is longer than `limit` bytes."""
    return Refusal(413, f"The body is larger than {limit} bytes: send it in several requests.")


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding.

    Raises:
        Refusal: 415 for an encoding other than gzip, 400 for broken gzip, 413 where the result is
            larger than `limit` bytes.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Refusal(415, f"The content encoding {encoding} is not supported: send gzip or none.")
    try:
        return gunzip(body, limit)
    except GzipError as error:
        raise Refusal(400, str(error)) from error
    except BodyTooLargeError:
        raise too_large(limit) from None


def split(body: bytes, *, ndjson: bool, most: int) -> list[bytes]:
    """Return the bytes of each event in the body: one object, an array, or one a line.

    A line that is not JSON is an event that will be rejected; the others are not held up by it.

    Raises:
        Refusal: 400 for an empty body or one that is not JSON, 413 for more than `most`.
    """
    body = body.removeprefix(_BOM).strip(b" \t\r\n")
    if not body:
        raise Refusal(400, "The body is empty: send an event, an array of events, or NDJSON.")
    if ndjson:
        events = [line for line in map(bytes.strip, body.split(b"\n")) if line]
    elif body.startswith(b"["):
        events = _elements(body, most)
    else:
        _require_json(body)
        return [body]
    if len(events) > most:
        raise _too_many(most)
    return events


def _too_many(most: int) -> Refusal:
    return Refusal(413, f"The request has more than {most} events: send several requests.")


def _require_json(event: bytes) -> None:
    """Refuse a body that is not JSON at all, rather than reject an event."""
    try:
        orjson.loads(event)
    except orjson.JSONDecodeError as error:
        # orjson is stricter than JSON about depth, lone surrogates and large numbers
        text = str(error)
        if not any(word in text.lower() for word in ("surrogate", "recursion", "infinity")):
            raise Refusal(400, f"The body is not JSON: {text}.") from error


# The scanner only finds where elements end. Numbers are not converted: their size does not matter
# here, and Python refuses to convert very long ones.
_scan = JSONDecoder(parse_int=len, parse_float=len, parse_constant=len).scan_once  # type: ignore[attr-defined]
_blank = re.compile(r"[ \t\r\n]*").match


def _elements(body: bytes, most: int) -> list[bytes]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Refusal(400, f"The body is not UTF-8: byte {error.start}.") from error
    spans: list[str] = []
    at = _skip(text, 1)
    if text.startswith("]", at):
        at += 1
    else:
        while True:
            if len(spans) == most:  # before the rest is looked at, which may be millions
                raise _too_many(most)
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


# possessive, and a text without an end is one token: no byte is looked at twice
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


def _not_json(what: str, at: int) -> Refusal:
    return Refusal(400, f"The body is not JSON: {what} at character {at}.")
