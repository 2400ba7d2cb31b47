"""The platform's own cron: seals finished days and drops old ones, once an hour."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from infra.database.errors import DatabaseError
from infra.database.maintenance import drop_days_before, first_kept_day, seal_finished_days

log = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
IDLE = timedelta(hours=1)


def start(
    database_url: str, keep_days: int = 0, idle: timedelta = IDLE, every: float = EVERY_SECONDS
) -> Callable[[], None]:
    """Start it in a thread of its own, which does not outlive the process.

    Args:
        database_url: the database, as the role that owns it.
        keep_days: how many whole days are kept besides today; 0 keeps all.
        idle: how long a day must be over, and without new events, until it is sealed.
        every: seconds from one round to the next; the first is at once.

    Returns:
        What stops it. It does not wait for a round in hand, which may be cut off anywhere.
    """
    stopped = threading.Event()

    def rounds() -> None:
        while not stopped.is_set():
            try:
                _tidy(database_url, keep_days, idle)
            except DatabaseError as error:
                if not stopped.is_set():
                    log.warning("housekeeping is tried again later: %s", error)
            stopped.wait(every)

    threading.Thread(target=rounds, name="housekeeping", daemon=True).start()
    return stopped.set


def _tidy(database_url: str, keep_days: int, idle: timedelta) -> None:
    if keep_days:
        keep_from = first_kept_day(keep_days)
        drop_days_before(database_url, keep_from, lambda day: log.info("dropped %s", day))
    seal_finished_days(database_url, idle, progress=lambda day: log.info("sealed %s", day))
