"""`universe up`: the platform until Ctrl-C."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import click
from rich.table import Table

from infra.cli.components import settings_by_handler
from infra.cli.options import console, errors_as_one_line, platform_settings
from infra.cli.run import run
from infra.local import platform
from infra.local.platform import Platform


@click.command()
@errors_as_one_line
def up() -> None:
    """Start the platform and keep it running until Ctrl-C.

    STATE_DIR (default .universe) holds its data, GATEWAY_PORT (default 8080) is the gateway's
    port. NATS_URL and DATABASE_URL name servers to use instead of the embedded ones.
    """
    run(_up())


async def _up() -> None:
    async with running_platform() as running:
        print_urls(running)
        await asyncio.Event().wait()


def running_platform() -> AbstractAsyncContextManager[Platform]:
    """Run the platform for a block; print the steps of its start and stop.

    Raises:
        PlatformError: it cannot start; the message says what to do.
    """
    return platform.running(platform_settings(), settings_by_handler(), _print_step)


def _print_step(step: str) -> None:
    console.print(f"[dim]{step} ...[/dim]")


def print_urls(running: Platform) -> None:
    """Print the URLs and folders of the platform."""
    gateway = running.gateway_url
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("send events", f"{gateway}/function/ingest/webhook/event"),
        ("dashboard", f"{gateway}/function/analytics-query/"),
        ("API", f"{gateway}/function/analytics-query/api"),
        ("platform page", f"{gateway}/ui/"),
        ("gateway", f"{gateway}  (user admin, password in {_relative(running)}/secrets/)"),
        ("NATS", running.nats_url),
        ("logs", f"{_relative(running)}/logs/"),
    ):
        table.add_row(f"[bold]{name}[/bold]", value)
    console.print(table, soft_wrap=True)
    for door in running.open_doors:
        console.print(f"[yellow]open door[/yellow]  {door}", soft_wrap=True)
    console.print("Universe is up. Ctrl-C stops it.")


def _relative(running: Platform) -> str:
    try:
        return str(running.state_dir.relative_to(Path.cwd()))
    except ValueError:
        return str(running.state_dir)
