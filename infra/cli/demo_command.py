"""`universe demo`: the whole pipeline on generated events, with a report at the end."""

import asyncio
import sys
import time

import aiohttp
import click
import nats
from nats.js import JetStreamContext
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from infra.cli.generate import Mix
from infra.cli.options import clear_errors, console, platform_settings
from infra.cli.publish import Plan
from infra.cli.publish_command import EVENTS_PATH, send_with_bar
from infra.cli.report import Run, fetch, print_report
from infra.cli.run import run
from infra.cli.stream_state import DeadLetters, dead_letters, stream_state
from infra.cli.up_command import say, show_urls
from infra.local import platform
from infra.local.errors import PlatformError
from infra.local.platform import Platform

STALLED_SECONDS = 120.0


@click.command()
@click.option("--events", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=500, show_default=True)
@click.option("--duplicates", type=click.FloatRange(0, 1), default=0.02, show_default=True)
@click.option("--invalid", type=click.FloatRange(0, 1), default=0.01, show_default=True)
@click.option("--days", type=click.FloatRange(0.001), default=7, show_default=True)
@click.option("--exit", "leave", is_flag=True, help="Stop after the report.")
@clear_errors
def demo(
    events: int, batch: int, duplicates: float, invalid: float, days: float, leave: bool
) -> None:
    """Start the platform, send events, wait until they are stored, print a report.

    It keeps running until Ctrl-C, so that the dashboard can be looked at.
    """
    finished = run(_demo(events, batch, Mix(duplicates, invalid, days), leave))
    sys.exit(0 if finished or not leave else 130)


async def _demo(events: int, batch: int, mix: Mix, leave: bool) -> bool:
    async with platform.running(platform_settings(), say) as running:
        nc = await nats.connect(running.nats_url)
        try:
            await _run(running, nc.jetstream(), events, batch, mix)
        finally:
            await nc.close()
        if not leave:
            show_urls(running)
            await asyncio.Event().wait()
    return True


async def _run(running: Platform, js: JetStreamContext, events: int, batch: int, mix: Mix) -> None:
    plan = Plan(running.gateway_url + EVENTS_PATH, batch=batch)
    started = time.monotonic()
    summary = await send_with_bar(events, plan, mix, time.time_ns())
    if summary.failed:
        raise PlatformError(
            f"{summary.failed} events were not answered ({summary.error}); "
            f"see {running.state_dir}/logs"
        )
    await _wait_until_processed(js)
    processed = time.monotonic() - started
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        answers = await fetch(session, running.gateway_url + "/function/analytics-query")
    dead: DeadLetters = await dead_letters(js)
    print_report(console, Run(summary, processed, answers, dead))


async def _wait_until_processed(js: JetStreamContext) -> None:
    """Show how the backlog shrinks until it is gone."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[left]:,} messages left"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        left = (await stream_state(js)).backlog
        task = progress.add_task("processing", total=left, left=left)
        least, since = left, time.monotonic()
        while left := (await stream_state(js)).backlog:
            if left < least:
                least, since = left, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS:
                raise PlatformError(
                    f"{left} messages are not processed for {STALLED_SECONDS:.0f} s; see the logs "
                    "of process-batch and the connector in the state folder"
                )
            progress.update(
                task, completed=max(0, (progress.tasks[0].total or 0) - left), left=left
            )
            await asyncio.sleep(0.1)
        progress.update(task, completed=progress.tasks[0].total or 0, left=0)
