"""Scales idle functions to zero."""

import asyncio
import logging

from infra.local.functions.registry import Registry

logger = logging.getLogger(__name__)

MAX_INTERVAL_SECONDS = 1.0
MIN_INTERVAL_SECONDS = 0.05
CHECKS_PER_DURATION = 5


async def run_idle_scaler(registry: Registry) -> None:
    """Check the functions until cancelled, several times in the shortest idle duration."""
    while True:
        interval = MAX_INTERVAL_SECONDS
        for function in registry:
            try:
                function.scale_to_zero_if_idle()
            except Exception:
                logger.exception("cannot scale %s to zero", function.name)
            zero_duration = function.version.scale_rule.zero_duration
            if zero_duration is not None:
                interval = min(interval, zero_duration / CHECKS_PER_DURATION)
        await asyncio.sleep(max(MIN_INTERVAL_SECONDS, interval))
