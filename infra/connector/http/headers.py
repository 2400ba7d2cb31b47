"""The headers of a message as headers of an HTTP request."""

import re
from collections.abc import Collection, Sequence
from urllib.parse import quote

from functions.common import signature
from functions.common.correlation import TRACE_HEADERS
from infra.connector.delivery.message import Message

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_PASSED = frozenset(
    {
        # of one connection, or about this request's body
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # says that the connector has sent a request
        signature.HEADER.lower(),
    }
)


def passed_on(message: Message, own: Collection[str]) -> dict[str, str]:
    """Return the message's headers that go into a request.

    All do but those that belong to a connection, those whose name HTTP does not allow, and those
    that the connector sets itself. What HTTP does not allow in a value is percent-encoded.

    Args:
        message: the message.
        own: the names of the headers that the connector sets.
    """
    taken = _NOT_PASSED | {name.lower() for name in own}
    return {
        name: _plain(value)
        for name, value in message.headers.items()
        if name.lower() not in taken and _TOKEN.fullmatch(name)
    }


def shared_trace(messages: Sequence[Message]) -> dict[str, str]:
    """Return the trace headers that all messages have in common; none if they differ."""
    traces = {tuple(map(each.lower_headers.get, TRACE_HEADERS)) for each in messages}
    if len(traces) != 1:
        return {}
    (values,) = traces
    return {n: _plain(v) for n, v in zip(TRACE_HEADERS, values, strict=True) if v}


def _plain(value: str) -> str:
    return "".join(c if " " <= c <= "~" else quote(c, errors="replace") for c in value).strip()
