"""JSON log lines with the correlation id."""

import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from functions.common.correlation import CALL_ID


class _UtcJsonFormatter(JsonFormatter):
    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, ...],
    ) -> str:
        """Return classes and lines of code: messages may hold the data that raised the error."""
        error: Any = ei[1]
        return "\n".join(_lines_of(error)) if isinstance(error, BaseException) else ""


def _lines_of(error: BaseException) -> Iterator[str]:
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _lines_of(earlier)
        yield "which led to:"
    yield from "".join(traceback.format_tb(error.__traceback__)).splitlines()
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    yield f"{name}: {error.strerror}" if isinstance(error, OSError) else name
    if isinstance(error, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = error  # pyright: ignore[reportUnknownVariableType] - isinstance leaves the type open
        for each in group.exceptions:
            yield from _lines_of(each)


class _CallId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "callId") and CALL_ID.get():
            record.callId = CALL_ID.get()
        return True


def configure(component: str, level: str | None = None, stream: TextIO | None = None) -> None:
    """Write this process's log records as one JSON object a line.

    Args:
        component: the value of `component` in each line.
        level: the lowest level written; by default `LOG_LEVEL`, else `INFO`.
        stream: where to; by default standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _UtcJsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields={"component": component},
            json_ensure_ascii=False,
        )
    )
    handler.addFilter(_CallId())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel((level or os.environ.get("LOG_LEVEL") or "INFO").upper())


def first_line(error: Exception) -> str:
    """Return what an error says, without the details that a server adds; its class if nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
