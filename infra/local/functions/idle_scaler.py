"""Puts idle functions to sleep."""

import asyncio
import logging

from infra.local.functions.registry import Registry

logger = logging.getLogger(__name__)

_SLOWEST, _FASTEST = 1.0, 0.05


async def run_scaler(registry: Registry) -> None:
    """Look after the functions until cancelled."""
    while True:
        shortest = _SLOWEST * 5
        for function in registry:
            try:
                function.sleep_if_idle()
            except Exception:
                logger.exception("scaling %s", function.name)
            shortest = min(shortest, function.version.rule.zero_after or shortest)
        await asyncio.sleep(max(_FASTEST, shortest / 5))
