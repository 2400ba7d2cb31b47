"""`universe demo`: the whole pipeline on generated events, with a report at the end."""

import asyncio
import sys
import time

import aiohttp
import click
from nats.js import JetStreamContext
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from functions.common.broker import connect
from functions.common.nats_client import NatsClient
from infra.cli.commands.publish import EVENTS_PATH, api_key_header, publish_with_progress_bar
from infra.cli.commands.up import print_urls, running_platform
from infra.cli.demo_report import DemoResult, fetch_reports, print_report
from infra.cli.load.event_generator import Mix
from infra.cli.load.options import load_options
from infra.cli.load.sender import LoadPlan
from infra.cli.options import console, errors_as_one_line, first_secret
from infra.cli.run import run
from infra.cli.stream_state import dead_letters_by_reason, stream_state
from infra.local.errors import PlatformError
from infra.local.platform import Platform

STALL_TIMEOUT = 120.0
POLL_SECONDS = 0.1


@click.command()
@load_options(events=20_000, duplicates=0.02, invalid=0.01)
@click.option("--exit", "exit_after_report", is_flag=True, help="Stop after the report.")
@errors_as_one_line
def demo(
    events: int,
    batch: int,
    duplicates: float,
    invalid: float,
    days: float,
    exit_after_report: bool,
) -> None:
    """Start the platform, send events, wait until they are stored, print a report.

    It keeps running until Ctrl-C, so that you can look at the dashboard.
    """
    finished = run(_demo(events, batch, Mix(duplicates, invalid, days), exit_after_report))
    sys.exit(0 if finished or not exit_after_report else 130)


async def _demo(events: int, batch: int, mix: Mix, exit_after_report: bool) -> bool:
    async with running_platform() as running:
        nc = await connect(running.broker, "demo")
        try:
            await _run(running, nc, events, batch, mix)
        finally:
            await nc.close()
        if not exit_after_report:
            print_urls(running)
            await asyncio.Event().wait()
    return True


async def _run(running: Platform, nc: NatsClient, events: int, batch: int, mix: Mix) -> None:
    js = nc.jetstream()
    url = running.gateway_url + EVENTS_PATH
    plan = LoadPlan(url, batch=batch, headers=api_key_header(first_secret("ingest-api-key")))
    started = time.monotonic()
    summary = await publish_with_progress_bar(events, plan, mix, time.time_ns())
    if summary.failed:
        raise PlatformError(
            f"{summary.failed} events were not answered ({summary.error}); "
            f"see {running.state_dir}/logs"
        )
    await _wait_until_processed(js)
    seconds = time.monotonic() - started
    headers = api_key_header(first_secret("analytics-api-key"))
    async with aiohttp.ClientSession(raise_for_status=True, headers=headers) as session:
        reports = await fetch_reports(session, running.gateway_url + "/function/analytics-query")
    reasons = await dead_letters_by_reason(nc, js)
    print_report(console, DemoResult(summary, seconds, reports, reasons))


async def _wait_until_processed(js: JetStreamContext) -> None:
    """Show the backlog until it is empty.

    Raises:
        PlatformError: it did not shrink for `STALL_TIMEOUT` seconds.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[backlog]:,} messages left"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        total = backlog = (await stream_state(js)).backlog
        task = progress.add_task("processing", total=total, backlog=backlog)
        smallest, shrunk_at = backlog, time.monotonic()
        while backlog := (await stream_state(js)).backlog:
            if backlog < smallest:
                smallest, shrunk_at = backlog, time.monotonic()
            elif time.monotonic() - shrunk_at > STALL_TIMEOUT:
                raise PlatformError(
                    f"no progress for {STALL_TIMEOUT:.0f} s, {backlog} messages left; see the "
                    "logs of process-batch and the connector in the state folder"
                )
            progress.update(task, completed=max(0, total - backlog), backlog=backlog)
            await asyncio.sleep(POLL_SECONDS)
        progress.update(task, completed=total, backlog=0)
