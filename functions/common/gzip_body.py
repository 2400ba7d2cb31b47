"""Gzip bodies of requests, from callers who may mean harm."""

import zlib

MOST_MEMBERS = 256
"""Each member costs a look at all the rest, so a body of many empty ones would take minutes."""


class GzipError(ValueError):
    """A body that is not whole gzip; the message is a sentence for whoever sent it."""


class TooLarge(Exception):
    """A body that is longer than allowed once it is decompressed."""


def gunzip(body: bytes, limit: int) -> bytes:
    """Return a gzip body decompressed, all its members.

    Args:
        body: as it was sent.
        limit: the most bytes of the result; no more memory is taken.

    Raises:
        GzipError: it is broken or truncated, or has absurdly many members.
        TooLarge: the result is longer than `limit`.
    """
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:
            if len(parts) == MOST_MEMBERS:
                raise GzipError(f"The gzip body has more than {MOST_MEMBERS} members.")
            member = zlib.decompressobj(wbits=31)
            part = member.decompress(rest, limit - size + 1)
            size += len(part)
            if size > limit:
                raise TooLarge
            if not member.eof:
                raise GzipError("The gzip body is truncated.")
            parts.append(part)
            rest = member.unused_data
    except zlib.error as error:
        raise GzipError(f"The body is not valid gzip: {error}.") from error
    return b"".join(parts)
