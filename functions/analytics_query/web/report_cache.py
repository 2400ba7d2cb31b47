"""Answers kept for repeated questions.

An answer is kept with the version of the snapshot that it was computed from. While nothing is
committed the version stays the same, and so does the answer: what is given is never stale.
"""

import gzip
import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        body: its bytes.
        compressed: the same as gzip, None where that is not worth while.
        etag: the entity tag of its bytes.
        version: of the snapshot it was computed from.
    """

    body: bytes
    compressed: bytes | None
    etag: str
    version: str

    @property
    def size(self) -> int:
        """The memory it takes."""
        return len(self.body) + len(self.compressed or b"")


COMPRESS_FROM = 2048
"""Answers from this size (bytes) on are compressed."""


def answer(body: bytes, version: str) -> Answer:
    """Return an answer with the entity tag of its bytes."""
    compressed = gzip.compress(body, 4, mtime=0) if len(body) >= COMPRESS_FROM else None
    return Answer(body, compressed, hashlib.blake2b(body, digest_size=12).hexdigest(), version)


class AnswerCache:
    """The answers asked for last, within a bound on their bytes. Threads may share it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: str, version: str) -> Answer | None:
        """Return the answer to `question` if it was computed from the same version."""
        with self._lock:
            kept = self._answers.get(question)
            if kept is None or kept.version != version:
                return None
            self._answers.move_to_end(question)
            return kept

    def put(self, question: str, computed: Answer) -> None:
        """Keep an answer; those not asked for longest give way."""
        with self._lock:
            if former := self._answers.pop(question, None):
                self._bytes -= former.size
            if computed.size > self._most_bytes // 4:
                return
            self._answers[question] = computed
            self._bytes += computed.size
            while self._bytes > self._most_bytes:
                _, dropped = self._answers.popitem(last=False)
                self._bytes -= dropped.size
