"""Waiting, ports, and HTTP without TLS."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx

from infra.local.servers.ports import free_port

__all__ = ["eventually", "free_port", "plain_http", "wait_until"]

T = TypeVar("T")

plain_http = httpx.Client(verify=False, limits=httpx.Limits(max_keepalive_connections=0))
"""For single requests. `httpx.get` loads the CA certificates at every call: 50 ms of a processor,
more than many of the tests' servers need for their answer."""


def wait_until(check: Callable[[], T], seconds: float = 60, every: float = 0.05) -> T:
    """Call `check` until it returns something true, and return that.

    Raises:
        AssertionError: it did not within `seconds`; the message has its last result.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; last result: {result!r}")
        time.sleep(every)


async def eventually(
    check: Callable[[], Awaitable[T]], seconds: float = 60, every: float = 0.05
) -> T:
    """Do as `wait_until` does, for a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        result = await check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; last result: {result!r}")
        await asyncio.sleep(every)
