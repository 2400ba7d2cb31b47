"""Imports nats-py without aiohttp, which only its connections over WebSockets need.

aiohttp would take a quarter of the start. Where it is installed, it is imported when it is used.
"""

import importlib
import importlib.util
import sys
from typing import Any


class _OnUse:
    """A module that is imported when an attribute of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def import_nats() -> None:
    """Import it, unless it or aiohttp is there already, or aiohttp is not installed."""
    if "aiohttp" in sys.modules or "nats" in sys.modules or not importlib.util.find_spec("aiohttp"):
        return
    sys.modules["aiohttp"] = None  # pyright: ignore[reportArgumentType] - makes its import fail
    try:
        transport = importlib.import_module("nats.aio.transport")
    finally:
        del sys.modules["aiohttp"]
    transport.__dict__["aiohttp"] = _OnUse("aiohttp")
