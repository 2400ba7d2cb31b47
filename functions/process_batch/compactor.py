"""The thread that compacts rollup deltas in the background."""

import logging
import threading
from time import monotonic, sleep

import psycopg
from psycopg import Connection, errors
from psycopg_pool import ConnectionPool

from functions.common.postgres import summary

from .compaction import MAX_DELTAS, MAX_EVENTS, compact, has_pending
from .database import pool
from .settings import settings

logger = logging.getLogger(__name__)

MAX_PENDING_DELTAS = 400_000
"""Writers wait for compaction when more deltas pend: reports read all of them."""
FEW_DELTAS = 5_000
"""Fewer wait for more to share their keys with: reports read so many in milliseconds."""
MAX_INTERVALS = 5
"""How long few deltas wait, in intervals."""
_MIN_DELTAS = 1_000
_PAUSE_AFTER_ERROR_SECONDS = 5.0
_MAX_WRITER_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.2


class Compactor:
    """A thread that compacts deltas soon after it is woken, no more often than configured.

    What a compaction costs depends on how many keys the deltas have, not on how many deltas share
    a key. So while events come in, few deltas wait for some intervals.
    """

    def __init__(self, connections: ConnectionPool[Connection], seconds: float) -> None:
        self._pool = connections
        self._seconds = seconds
        self._max_deltas = MAX_DELTAS
        self._woken = threading.Event()
        self._keeps_up = threading.Event()
        self._keeps_up.set()
        # a daemon: when the process ends in the middle, the transaction is undone
        threading.Thread(target=self._run, name="compactor", daemon=True).start()

    def wake(self) -> None:
        """Tell it that there is something to compact; wait a while if it is far behind."""
        self._woken.set()
        self._keeps_up.wait(_MAX_WRITER_WAIT_SECONDS)

    def _run(self) -> None:
        finished = monotonic() - MAX_INTERVALS * self._seconds
        while True:
            self._woken.wait()
            try:
                self._await_more(finished)
                self._woken.clear()
                self._compact_all()
            except errors.QueryCanceled:
                logger.info("compaction takes longer than a statement may; taking smaller steps")
                self._max_deltas = max(self._max_deltas // 4, _MIN_DELTAS)
                self._keeps_up.set()
                self._woken.set()
            except psycopg.Error as error:
                logger.info("rollup deltas not compacted", extra={"reason": summary(error)})
                self._keeps_up.set()
                sleep(_PAUSE_AFTER_ERROR_SECONDS)
                self._woken.set()
            except Exception:
                logger.exception("unexpected error in compaction")
                self._keeps_up.set()
            finished = monotonic()

    def _await_more(self, finished: float) -> None:
        """Wait until many deltas pend, or some intervals are over since the last compaction."""
        look, latest = finished + self._seconds, finished + MAX_INTERVALS * self._seconds
        while monotonic() < latest:
            sleep(max(0.0, min(look, latest) - monotonic()))
            look = monotonic() + self._seconds
            with self._pool.connection() as connection:
                if has_pending(connection, FEW_DELTAS):
                    return

    def _compact_all(self) -> None:
        with self._pool.connection() as connection:
            while True:
                max_deltas = self._max_deltas
                result = compact(connection, max_deltas)
                if result:
                    self._max_deltas = min(max_deltas * 2, MAX_DELTAS)
                    if result.deltas < max_deltas and result.events < MAX_EVENTS:
                        break
                if not has_pending(connection, MAX_PENDING_DELTAS):
                    self._keeps_up.set()
                    if result is None:
                        return  # the process that compacts does the rest
                else:
                    self._keeps_up.clear()
                    if result is None:
                        sleep(_POLL_SECONDS)
        self._keeps_up.set()


_compactor: Compactor | None = None
_starting = threading.Lock()


def wake() -> None:
    """Have the deltas compacted in the background, soon; wait a while if that is far behind."""
    global _compactor  # noqa: PLW0603
    seconds = settings().compaction_interval
    if not seconds:
        return
    with _starting:
        if _compactor is None:
            _compactor = Compactor(pool(), seconds)
    _compactor.wake()
