"""`universe status`: functions, streams and rows of the running platform."""

import asyncio
import json
from typing import Any

import aiohttp
import click
import nats.errors
import psycopg
from rich.table import Table

from functions.common.broker import connect
from functions.common.logs import first_line
from infra.cli.options import console, errors_as_one_line, platform_settings
from infra.cli.stream_state import StreamState, stream_state
from infra.local import state_dir
from infra.local.errors import PlatformError
from infra.local.settings import PlatformSettings
from infra.local.state_dir import PlatformAddresses

TIMEOUT_SECONDS = 5


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@errors_as_one_line
def status(as_json: bool) -> None:
    """Print the functions, the backlog, the dead letters and the stored rows."""
    settings = platform_settings()
    running = state_dir.load_addresses(settings.state_dir)
    functions, streams = asyncio.run(_fetch(settings, running))
    rows = _count_rows(settings)
    if as_json:
        click.echo(json.dumps(_as_json(running, functions, streams, rows)))
        return
    table = Table(box=None)
    for column in ("function", "replicas", "ready", "invocations"):
        table.add_column(column, justify="left" if column == "function" else "right")
    for each in functions:
        table.add_row(
            each["name"],
            str(each.get("replicas", 0)),
            str(each.get("availableReplicas", 0)),
            f"{int(each.get('invocationCount', 0)):,}",
        )
    console.print(table)
    console.print(
        f"backlog {streams.backlog:,} messages ({streams.backlog_bytes / 1024:,.0f} KiB)   "
        f"dead letters {streams.dead:,}   rows stored {rows:,}"
    )


async def _fetch(
    settings: PlatformSettings, running: PlatformAddresses
) -> tuple[list[dict[str, Any]], StreamState]:
    password = state_dir.read_secret(settings.state_dir, "basic-auth-password")
    hint = _hint(settings)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    login = {"Authorization": aiohttp.encode_basic_auth("admin", password)}
    try:
        async with (
            aiohttp.ClientSession(headers=login, timeout=timeout, raise_for_status=True) as session,
            session.get(f"{running.gateway_url}/system/functions") as response,
        ):
            functions = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise PlatformError(f"the gateway does not respond: {error}; {hint}") from error
    try:
        broker = state_dir.broker_settings(settings.state_dir)
        nc = await connect(broker, "universe status", forever=False)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise PlatformError(f"NATS does not respond: {error}; {hint}") from error
    try:
        return functions, await stream_state(nc.jetstream())
    finally:
        await nc.close()


def _hint(settings: PlatformSettings) -> str:
    return f"see {settings.state_dir}/logs"


def _count_rows(settings: PlatformSettings) -> int:
    url = state_dir.read_secret(settings.state_dir, "database-reader-url")
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_SECONDS) as connection:
            # from the sums, which are exact: counting the events locks each of their partitions
            row = connection.execute(
                "SELECT coalesce(sum(events), 0)::bigint FROM live_day_types"
            ).fetchone()
    except psycopg.Error as error:
        raise PlatformError(
            f"the database does not respond: {first_line(error)}; {_hint(settings)}"
        ) from error
    assert row is not None
    return row[0]


def _as_json(
    running: PlatformAddresses, functions: list[dict[str, Any]], streams: StreamState, rows: int
) -> dict[str, object]:
    return {
        "gateway": running.gateway_url,
        "functions": [
            {
                "name": each["name"],
                "replicas": each.get("replicas", 0),
                "availableReplicas": each.get("availableReplicas", 0),
                "invocations": int(each.get("invocationCount", 0)),
            }
            for each in functions
        ],
        "backlogMessages": streams.backlog,
        "backlogBytes": streams.backlog_bytes,
        "deadLetters": streams.dead,
        "rowsStored": rows,
    }
