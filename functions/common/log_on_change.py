"""Logging a condition when it changes, not each time it is observed."""

import logging
from collections.abc import Hashable
from typing import Any


class LogOnChange:
    """Logs what is observed again and again only when it differs from the last time.

    A loop that retries every second calls `log` at each failure, and writes one line for an outage
    of an hour, and one more when the outage has ended. Not safe for several threads.

    Args:
        logger: takes the lines.
        level: the level of the lines, where a call does not say another.
    """

    def __init__(self, logger: logging.Logger, level: int = logging.WARNING) -> None:
        self._logger = logger
        self._level = level
        self._last: dict[Hashable, str] = {}

    def log(
        self,
        key: Hashable,
        text: str,
        *,
        level: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> bool:
        """Log `text` unless it is what was logged last for `key`.

        Args:
            key: names the condition, such as a dependency or a function.
            text: the whole line.
            level: the level of this line.
            extra: further fields of the line; they do not count as a change.

        Returns:
            Whether it was logged.
        """
        if self._last.get(key) == text:
            return False
        self._last[key] = text
        self._logger.log(
            self._level if level is None else level, "%s", text, extra=extra, stacklevel=2
        )
        return True

    def recovered(self, key: Hashable, text: str = "") -> bool:
        """Forget what was logged for `key`, so that it is logged again when it comes back.

        Args:
            key: as in `log`.
            text: logged at level INFO if there was anything to recover from; empty: nothing is.

        Returns:
            Whether anything had been logged for `key` since it recovered last.
        """
        if self._last.pop(key, None) is None:
            return False
        if text:
            self._logger.info("%s", text, stacklevel=2)
        return True
