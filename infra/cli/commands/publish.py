"""`universe publish`: sends generated events."""

import json
import sys
import time

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from functions.common.access import API_KEY_HEADER
from infra.cli.load.event_generator import Mix, generate
from infra.cli.load.options import load_options
from infra.cli.load.sender import LoadPlan, Summary, send_events
from infra.cli.options import console, errors_as_one_line, first_secret, platform_settings
from infra.cli.run import run

EVENTS_PATH = "/function/ingest/webhook/event"


@click.command()
@load_options(events=10_000)
@click.option("--rate", type=click.FloatRange(0), default=0, help="Events per second; 0: no limit.")
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Concurrent requests.",
)
@click.option("--seed", type=int, help="Random seed; the same seed gives the same events.")
@click.option("--url", help="Where events are posted; default: ingest at the local gateway.")
@click.option(
    "--api-key",
    envvar="INGEST_API_KEY",
    help="Sent as X-Api-Key; default: that of the local platform, if it has one.  "
    "[env: INGEST_API_KEY]",
)
@click.option("--gzip", "compress", is_flag=True, help="Compress the requests.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@errors_as_one_line
def publish(
    events: int,
    batch: int,
    rate: float,
    concurrency: int,
    duplicates: float,
    invalid: float,
    days: float,
    seed: int | None,
    url: str | None,
    api_key: str | None,
    compress: bool,
    as_json: bool,
) -> None:
    """Send generated events over HTTP and print the results.

    The exit status is 0 when every event was answered, 1 when some were not.
    """
    if not url and not api_key:
        api_key = first_secret("ingest-api-key")
    plan = LoadPlan(
        url or f"http://127.0.0.1:{platform_settings().gateway_port}{EVENTS_PATH}",
        batch=batch,
        rate=rate,
        concurrency=concurrency,
        compress=compress,
        headers=api_key_header(api_key),
    )
    mix = Mix(duplicates, invalid, days)
    summary = run(
        publish_with_progress_bar(events, plan, mix, time.time_ns() if seed is None else seed)
    )
    if summary is None:
        sys.exit(130)
    if as_json:
        click.echo(json.dumps(_as_json(summary)))
    else:
        _print_summary(summary)
    sys.exit(1 if summary.failed else 0)


def api_key_header(key: str | None) -> dict[str, str]:
    """Return the header with the API key of a function, where there is one."""
    return {API_KEY_HEADER: key} if key else {}


async def publish_with_progress_bar(events: int, plan: LoadPlan, mix: Mix, seed: int) -> Summary:
    """Send `events` generated events; a terminal shows a progress bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=console, transient=False) as progress:
        task = progress.add_task("sending events", total=events, rate="")
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            speed = done / max(0.001, time.monotonic() - started)
            progress.update(task, advance=count, rate=f"{speed:,.0f}/s")

        return await send_events(generate(events, seed, mix), plan, advance)


def _as_json(summary: Summary) -> dict[str, object]:
    """Return a summary as a JSON object; latencies are in milliseconds."""
    return {
        "sent": summary.sent,
        "accepted": summary.accepted,
        "rejected": summary.rejected,
        "failed": summary.failed,
        "retries": summary.retries,
        "kinds": dict(summary.kinds),
        "statuses": {str(status): count for status, count in summary.statuses.items()},
        "reasons": dict(summary.reasons),
        "seconds": round(summary.seconds, 3),
        "eventsPerSecond": round(summary.per_second),
        "latencyMs": {
            f"p{percent}": round(summary.latency(percent / 100) * 1000, 1)
            for percent in (50, 95, 99)
        },
        "error": summary.error,
    }


def _print_summary(summary: Summary) -> None:
    """Print a summary as a table."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("sent", f"{summary.sent:,}")
    table.add_row("accepted", f"{summary.accepted:,}")
    table.add_row("rejected", f"{summary.rejected:,}")
    for reason, count in summary.reasons.most_common(8):
        table.add_row("", f"{count:,}  {reason}")
    if summary.failed:
        table.add_row("not answered", f"[red]{summary.failed:,}[/red]  {summary.error}")
    if summary.retries:
        table.add_row("retried", f"{summary.retries:,} requests")
    table.add_row("speed", f"{summary.per_second:,.0f} events/s over {summary.seconds:.1f} s")
    quantiles = (f"p{p} {summary.latency(p / 100) * 1000:.0f} ms" for p in (50, 95, 99))
    table.add_row("latency", ", ".join(quantiles))
    console.print(table)
