"""`universe up`: the platform until Ctrl-C."""

import asyncio
from pathlib import Path

import click
from rich.table import Table

from infra.cli.options import clear_errors, console, platform_settings
from infra.cli.run import run
from infra.local import platform
from infra.local.platform import Platform


@click.command()
@clear_errors
def up() -> None:
    """Start the platform and keep it running until Ctrl-C.

    STATE_DIR (default .universe) holds its data, GATEWAY_PORT (default 8080) is where the gateway
    listens. NATS_URL and DATABASE_URL name servers to use instead of the embedded ones.
    """
    run(_up())


async def _up() -> None:
    async with platform.running(platform_settings(), say) as running:
        show_urls(running)
        await asyncio.Event().wait()


def say(step: str) -> None:
    """Tell the user about a step."""
    console.print(f"[dim]{step} ...[/dim]")


def show_urls(running: Platform) -> None:
    """Print where things are."""
    gateway = running.gateway_url
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("send events", f"{gateway}/function/ingest/webhook/event"),
        ("dashboard", f"{gateway}/function/analytics-query/"),
        ("API", f"{gateway}/function/analytics-query/api"),
        ("platform page", f"{gateway}/ui/"),
        ("gateway", f"{gateway}  (user admin, password in {_short(running)}/secrets/)"),
        ("NATS", running.nats_url),
        ("logs", f"{_short(running)}/logs/"),
    ):
        table.add_row(f"[bold]{name}[/bold]", value)
    console.print(table, soft_wrap=True)
    console.print("Universe is up. Ctrl-C stops it.")


def _short(running: Platform) -> str:
    try:
        return str(running.state_dir.relative_to(Path.cwd()))
    except ValueError:
        return str(running.state_dir)
