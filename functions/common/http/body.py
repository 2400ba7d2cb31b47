"""Bodies of requests: their content encoding and the media types of events."""

import zlib

from functions.common.errors import RequestRefusedError

NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

MAX_MEMBERS = 256
"""Each member costs a look at all the rest, so a body of many empty ones would take minutes."""


def body_too_large(limit: int) -> RequestRefusedError:
    """Return the refusal of a body that is longer than `limit` bytes."""
    return RequestRefusedError(
        413, f"The body is larger than {limit} bytes: send it in several requests."
    )


def decode_body(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the content encoding of a body.

    Args:
        body: as it was sent.
        encoding: the header `Content-Encoding`; empty where there is none.
        limit: the most bytes of the result; no more memory is taken.

    Raises:
        RequestRefusedError: 415 for an encoding other than gzip, 400 for broken gzip, 413 where the
            result is longer than `limit`.
    """
    match encoding.strip().lower():
        case "" | "identity":
            decoded = body
        case "gzip" | "x-gzip":
            decoded = _gunzip(body, limit)
        case other:
            raise RequestRefusedError(
                415, f"The content encoding {other} is not supported: send gzip or none."
            )
    if len(decoded) > limit:
        raise body_too_large(limit)
    return decoded


def _gunzip(body: bytes, limit: int) -> bytes:
    """Decompress all members of a gzip body, to little more than `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest and size <= limit:
            if len(parts) == MAX_MEMBERS:
                raise RequestRefusedError(
                    400, f"The gzip body has more than {MAX_MEMBERS} members."
                )
            member = zlib.decompressobj(wbits=31)
            part = member.decompress(rest, limit - size + 1)
            size += len(part)
            if not member.eof and size <= limit:
                raise RequestRefusedError(400, "The gzip body is truncated.")
            parts.append(part)
            rest = member.unused_data
    except zlib.error as error:
        raise RequestRefusedError(400, f"The body is not valid gzip: {error}.") from error
    return b"".join(parts)
