"""Gzip bodies of requests, with bounds on the memory and time that they take."""

import zlib

from functions.common.errors import BodyTooLargeError, GzipError

MAX_MEMBERS = 256
"""Each member costs a look at all the rest, so a body of many empty ones would take minutes."""


def gunzip(body: bytes, limit: int) -> bytes:
    """Return a gzip body decompressed, all its members.

    Args:
        body: as it was sent.
        limit: the most bytes of the result; no more memory is taken.

    Raises:
        GzipError: it is broken or truncated, or has absurdly many members.
        BodyTooLargeError: the result is longer than `limit`.
    """
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:
            if len(parts) == MAX_MEMBERS:
                raise GzipError(f"The gzip body has more than {MAX_MEMBERS} members.")
            member = zlib.decompressobj(wbits=31)
            part = member.decompress(rest, limit - size + 1)
            size += len(part)
            if size > limit:
                raise BodyTooLargeError(f"The body is larger than {limit} bytes, decompressed.")
            if not member.eof:
                raise GzipError("The gzip body is truncated.")
            parts.append(part)
            rest = member.unused_data
    except zlib.error as error:
        raise GzipError(f"The body is not valid gzip: {error}.") from error
    return b"".join(parts)
