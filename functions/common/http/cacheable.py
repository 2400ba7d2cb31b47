"""Bodies that clients may cache, compressed for clients that accept gzip."""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from functions.common.correlation import HeaderLookup

from .front_door import RawResponse

CACHE_CONTROL = "private, no-cache"
"""Clients may cache a response, and revalidate it with its entity tag before each use."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""Anybody may cache a response for a year without asking: its path changes with its body."""
MIN_COMPRESSED_BYTES = 1024
"""Files and documents of at least this size are also kept compressed."""

_entity_tags = re.compile(r'"([^"]*)"').findall
_quality = re.compile(r"\bq\s*=\s*([01](?:\.\d{0,3})?)\s*$").search


@dataclass(frozen=True, slots=True)
class CacheableBody:
    """A body in memory.

    Attributes:
        body: as it is.
        compressed: the same as gzip; None: it is too small for that.
        etag: the entity tag of the body, without quotes.
        content_type: its media type.
    """

    body: bytes
    compressed: bytes | None
    etag: str
    content_type: str

    @classmethod
    def of(
        cls,
        body: bytes,
        content_type: str,
        *,
        min_bytes: int = MIN_COMPRESSED_BYTES,
        level: int = 6,
    ) -> "CacheableBody":
        """Compress a body and make its entity tag.

        Args:
            body: as it is.
            content_type: its media type.
            min_bytes: the size from which it is kept compressed too.
            level: of gzip, from 1 (fast) to 9 (small).
        """
        compressed = gzip.compress(body, level, mtime=0) if len(body) >= min_bytes else None
        etag = hashlib.blake2b(body, digest_size=12).hexdigest()
        return cls(body, compressed, etag, content_type)


@cache
def read_file(file: Path) -> CacheableBody:
    """Return a static file, read and compressed once."""
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if content_type.startswith("text/") or content_type.endswith("javascript"):
        content_type += "; charset=utf-8"
    return CacheableBody.of(file.read_bytes(), content_type)


def respond(
    found: CacheableBody,
    headers: HeaderLookup,
    *,
    cache_control: str = CACHE_CONTROL,
    **more: str,
) -> RawResponse:
    """Return a body, or 304 if the client already has it.

    Args:
        found: the body.
        headers: of the request.
        cache_control: how long clients may keep it.
        more: further headers of the response, with `_` for `-` in their names.
    """
    body, etag = found.body, found.etag
    answered = {name.replace("_", "-"): value for name, value in more.items()}
    answered |= {"Vary": "Accept-Encoding", "Cache-Control": cache_control}
    compressed = found.compressed
    if compressed is not None and _accepts_gzip(headers.get("Accept-Encoding") or ""):
        body, etag = compressed, etag + "-gzip"
        answered["Content-Encoding"] = "gzip"
    answered["ETag"] = f'"{etag}"'
    known = headers.get("If-None-Match") or ""
    if known.strip() == "*" or etag in _entity_tags(known):
        answered.pop("Content-Encoding", None)
        return RawResponse(304, b"", found.content_type, answered)
    return RawResponse(200, body, found.content_type, answered)


def _accepts_gzip(accepted: str) -> bool:
    qualities: dict[str, float] = {}
    for each in accepted.lower().split(","):
        coding, _, parameters = each.partition(";")
        quality = _quality(parameters)
        qualities[coding.strip()] = float(quality[1]) if quality else 1.0
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0
