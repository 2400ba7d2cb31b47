"""Bodies of requests: their content encoding, what they may hold, and the media types of events."""

import re
import zlib
from collections.abc import Iterator

from functions.common.errors import RequestRefusedError

NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_MEMBERS = 256
"""Members of a gzip body, each of which costs some calls however small it is."""
_INPUT_BYTES = 64 * 1024
_PART_BYTES = 256 * 1024
_STRUCTURE = b"[{,:"


def body_too_large(limit: int) -> RequestRefusedError:
    """Return the refusal of a body that is longer than `limit` bytes."""
    return RequestRefusedError(
        413,
        f"The body is larger than {limit} bytes: send it in several requests.",
        reason="body_too_large",
    )


class ValueCounter:
    """Counts the JSON values of a body before it is parsed, and refuses too many.

    A value takes up to thirty times its bytes once it is parsed, and 8 KB of gzip are 5 million
    empty arrays. Counted are the characters that each value, or its key, comes with: `[`, `{`, `,`
    and `:`. Those within texts are counted too, which saves looking for texts; the bound has to
    leave room for them.

    Args:
        limit: the most; None for no bound.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.count = 0

    def add(self, text: bytes) -> None:
        """Count the values in a part of the body.

        Raises:
            RequestRefusedError: 413, there are too many.
        """
        if self.limit is None:
            return
        self.count += len(text) - len(text.translate(None, _STRUCTURE))
        if self.count > self.limit:
            raise RequestRefusedError(
                413,
                f"The body has more than {self.limit} JSON values (as '[', '{{', ',' and ':' count "
                "them): send it in several requests.",
                reason="too_many_values",
            )

    def add_whole(self, text: bytes) -> None:
        """Count the values in a whole body; one with fewer bytes than the limit is not looked at.

        Raises:
            RequestRefusedError: 413, there are too many.
        """
        if self.limit is not None and len(text) > self.limit:
            for at in range(0, len(text), _PART_BYTES):
                self.add(text[at : at + _PART_BYTES])


def decode_body(
    body: bytes, encoding: str, limit: int, values: ValueCounter | None = None
) -> bytes:
    """Undo the content encoding of a body.

    Args:
        body: as it was sent.
        encoding: the header `Content-Encoding`; empty where there is none.
        limit: the most bytes of the result; no more memory is taken.
        values: counts the JSON values of the result.

    Raises:
        RequestRefusedError: 415 for an encoding other than gzip, 400 for broken gzip, 413 where the
            result is longer than `limit` or has too many values.
    """
    values = values or ValueCounter()
    match encoding.strip().lower():
        case "" | "identity":
            if len(body) > limit:
                raise body_too_large(limit)
            values.add_whole(body)
            return body
        case "gzip" | "x-gzip":
            return b"".join(_gunzip(body, limit, values))
        case other:
            raise RequestRefusedError(
                415, f"The content encoding {other[:50]} is not supported: send gzip or none."
            )


def _gunzip(body: bytes, limit: int, values: ValueCounter) -> Iterator[bytes]:
    """Decompress all members of a gzip body part by part, until one is too much."""
    size = members = at = 0
    try:
        while at < len(body):
            members += 1
            if members > MAX_MEMBERS:
                raise RequestRefusedError(
                    400, f"The gzip body has more than {MAX_MEMBERS} members."
                )
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                rest = member.unconsumed_tail
                if not rest:
                    rest = body[at : at + _INPUT_BYTES]
                    at += len(rest)
                part = member.decompress(rest, _PART_BYTES)
                if not rest and not part:
                    raise RequestRefusedError(400, "The gzip body is truncated.")
                size += len(part)
                if size > limit:
                    raise body_too_large(limit)
                values.add(part)
                yield part
            at -= len(member.unused_data)
    except zlib.error as error:
        raise RequestRefusedError(400, f"The body is not valid gzip: {error}.") from error


_line = re.compile(rb"\S[^\n]*")


def lines(body: bytes) -> Iterator[bytes]:
    """Yield the lines of an NDJSON body without white space around them; no empty ones.

    They are not split all at once: 8 MB of line ends would be 8 million empty lines.
    """
    for found in _line.finditer(body):
        yield found[0].rstrip()
