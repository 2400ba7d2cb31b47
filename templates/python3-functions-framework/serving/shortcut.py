"""Short requests that a function takes below ASGI, where it offers that.

A scope, a task, messages and the checks of their headers are two thirds of what a small request
costs a server of ASGI applications.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

Respond = Callable[[int, bytes, bytes], None]
"""Writes a response: its status, its header lines, each with its end, and its body."""
Shortcut = Callable[[Mapping[bytes, bytes], bytes, Respond], bool]
"""Takes a request, and writes the response now or later; False: nothing is done, ASGI's turn comes.

It is given the headers by their names in lower case (the first of several) and the whole body.
"""
MAX_BYTES = 16 * 1024
"""The longest body of such a request."""


class ShortCycle:
    """A request on its way to a shortcut, and the response to it: a cycle, as uvicorn calls that.

    Args:
        headers: by name.
        keep_alive: whether the connection is kept after it.
        write: of its protocol: a response, and whether the connection is kept.
    """

    __slots__ = (
        "_write", "disconnected", "headers", "keep_alive", "parts", "response_complete",
        "response_started",
    )  # fmt: skip
    message_event = asyncio.Event()
    """uvicorn sets it; nobody waits."""

    def __init__(
        self,
        headers: dict[bytes, bytes],
        keep_alive: bool,
        write: Callable[["ShortCycle", int, bytes, bytes], None],
    ) -> None:
        self.headers = headers
        self.keep_alive = keep_alive
        self.parts: list[bytes] = []
        self.disconnected = self.response_started = self.response_complete = False
        self._write = write

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Write the response: `Respond`."""
        self.response_started = self.response_complete = True
        if not self.disconnected:
            self._write(self, status, lines, body)


def short_headers(protocol: Any) -> dict[bytes, bytes] | None:
    """Return the headers of the request that a protocol receives; None if it is not short.

    Neither is one that comes before the response to an earlier one, or whose client does not read.
    """
    cycle = protocol.cycle
    if (
        (cycle is not None and not cycle.response_complete)
        or protocol.flow.write_paused
        or protocol.access_log
        or protocol.expect_100_continue
        or protocol.parser.get_method() != b"POST"
        or protocol.parser.get_http_version() != "1.1"
        or protocol.parser.should_upgrade()
    ):
        return None
    headers: dict[bytes, bytes] = dict(reversed(protocol.headers))
    length = headers.get(b"content-length")
    return headers if length and int(length) <= MAX_BYTES else None
