"""Responses of reports, cached until anything is committed.

A response is cached with the version of the database snapshot it was computed from. The version
changes with every commit, so a cached response is never stale.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from functions.common import health
from functions.common.http.cacheable import CacheableBody

MIN_COMPRESSED_BYTES = 2048
"""Responses of at least this size are compressed."""


@dataclass(frozen=True)
class CachedReport:
    """The response of a report.

    Attributes:
        response: JSON.
        version: of the snapshot it was computed from.
    """

    response: CacheableBody
    version: str

    @property
    def size(self) -> int:
        """The memory it takes, in bytes."""
        return len(self.response.body) + len(self.response.compressed or b"")


def cached_report(body: bytes, version: str) -> CachedReport:
    """Return a response with its compressed body and its entity tag."""
    response = CacheableBody.of(body, health.JSON, min_bytes=MIN_COMPRESSED_BYTES, level=4)
    return CachedReport(response, version)


class ReportCache:
    """An LRU cache of responses, bounded by the sum of their sizes. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._reports: OrderedDict[str, CachedReport] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, version: str) -> CachedReport | None:
        """Return the response of a key if it was computed from this version."""
        with self._lock:
            cached = self._reports.get(key)
            if cached is None or cached.version != version:
                return None
            self._reports.move_to_end(key)
            return cached

    def put(self, key: str, report: CachedReport) -> None:
        """Store a response and evict the least recently used ones beyond the bound.

        One that would take more than a quarter of the cache is not stored.
        """
        with self._lock:
            if replaced := self._reports.pop(key, None):
                self._bytes -= replaced.size
            if report.size > self._max_bytes // 4:
                return
            self._reports[key] = report
            self._bytes += report.size
            while self._bytes > self._max_bytes:
                _, evicted = self._reports.popitem(last=False)
                self._bytes -= evicted.size
