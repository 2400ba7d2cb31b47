"""The correlation id that follows a request from HTTP through the broker to the log lines."""

import re
import secrets
from contextvars import ContextVar
from typing import Protocol

CALL_ID: ContextVar[str] = ContextVar("call_id", default="")
"""The correlation id of the current work; log lines carry it as `callId`."""

CALL_ID_HEADER = "X-Call-Id"

TRACE_HEADERS = ("traceparent", "tracestate")
"""W3C Trace Context: a call belongs to the trace in which its message was published."""

_SAFE = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class HeaderLookup(Protocol):
    """Headers of a request: a dictionary, or a framework's own class."""

    def get(self, key: str, /) -> str | None:
        """Return a header's value, None where it was not sent."""
        ...


class HeaderLists(Protocol):
    """Headers of a request of which one may have been sent several times."""

    def getlist(self, key: str) -> list[str]:
        """Return the values of a header, in the order in which they were sent."""
        ...


def new_call_id() -> str:
    """Return a new correlation id: 32 hexadecimal digits, the form of a W3C trace id."""
    return secrets.token_hex(16)


def trace_id(traceparent: str) -> str:
    """Return the trace id of a `traceparent` header; empty if it is none."""
    trace = _TRACEPARENT.fullmatch(traceparent)
    return trace[1] if trace else ""


def call_id_from(headers: HeaderLookup) -> str:
    """Return the request's `X-Call-Id`, else the trace id of its `traceparent`, else a new one.

    An id that is longer than 128 characters or holds anything but visible ASCII is not taken over.
    """
    given = headers.get(CALL_ID_HEADER) or headers.get(CALL_ID_HEADER.lower()) or ""
    if _SAFE.fullmatch(given):
        return given
    traceparent = headers.get("traceparent") or headers.get("Traceparent") or ""
    return trace_id(traceparent) or new_call_id()
