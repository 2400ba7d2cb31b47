"""A thread that seals finished days and drops old ones, once an hour: `universe up` runs it."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from infra.database.errors import DatabaseError
from infra.database.retention import drop_days_before, first_kept_day
from infra.database.seal import seal_finished_days

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 3600.0
IDLE = timedelta(hours=1)


def start(
    database_url: str,
    keep_days: int = 0,
    idle: timedelta = IDLE,
    interval: float = INTERVAL_SECONDS,
) -> Callable[[], None]:
    """Start it in a thread of its own, which does not outlive the process.

    Args:
        database_url: the database, as the role that owns it.
        keep_days: how many whole days are kept besides today; 0 keeps all.
        idle: how long a day must be over, and without new events, until it is sealed.
        interval: seconds between two rounds; the first is at once.

    Returns:
        A function that stops it. It does not wait for a round that runs, which is safe to cut off.
    """
    stopped = threading.Event()

    def rounds() -> None:
        while not stopped.is_set():
            try:
                _seal_and_drop(database_url, keep_days, idle)
            except DatabaseError as error:
                if not stopped.is_set():
                    logger.warning("housekeeping failed; trying again in the next round: %s", error)
            stopped.wait(interval)

    threading.Thread(target=rounds, name="housekeeping", daemon=True).start()
    return stopped.set


def _seal_and_drop(database_url: str, keep_days: int, idle: timedelta) -> None:
    if keep_days:
        keep_from = first_kept_day(keep_days)
        drop_days_before(database_url, keep_from, lambda day: logger.info("dropped %s", day))
    seal_finished_days(database_url, idle, progress=lambda day: logger.info("sealed %s", day))
