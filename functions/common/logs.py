"""JSON log lines with the correlation id."""

import logging
import os
import sys
import time
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

from functions.common.correlation import CALL_ID


class _UtcJsonFormatter(JsonFormatter):
    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


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
