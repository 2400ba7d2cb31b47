"""`universe spend import`: what was spent on campaigns, from a CSV file."""

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import click
from psycopg import IsolationLevel

from functions.common.access import API_KEY_HEADER
from functions.common.spend import SpendError, Stored, read_csv, store
from infra.cli.options import console, errors_as_one_line, first_secret
from infra.cli.owner_url import owner_url
from infra.local.errors import PlatformError
from infra.privacy.erase import open_database

API_KEY_VARIABLE = "ANALYTICS_WRITE_KEY"
TIMEOUT_SECONDS = 120


@click.group()
def spend() -> None:
    """Import what was spent on campaigns."""


@spend.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check, and say what it would do.")
@click.option(
    "--url",
    envvar="DATABASE_URL",
    help="The database, as its owner or universe_reader.  [env: DATABASE_URL]",
)
@click.option(
    "--api",
    metavar="URL",
    envvar="ANALYTICS_URL",
    help="Import over HTTP: where analytics-query is. The key is that of the environment variable "
    f"{API_KEY_VARIABLE}, else of the platform with STATE_DIR.  [env: ANALYTICS_URL]",
)
@errors_as_one_line
def import_(file: Path, dry_run: bool, url: str | None, api: str | None) -> None:
    """Import a CSV file with the columns date, source, campaignId, amount.

    A column currency may be there too. All of it or nothing. Of each date, source and campaign
    the last import wins; an empty amount takes away what is stored. Dates are days of the time
    zone of the workspace (TIMEZONE), and the currency has to be that of the workspace (CURRENCY).
    """
    body = file.read_bytes()
    with console.status(f"importing {file.name} ({len(body):,} bytes)"):
        if api is not None:
            stored = asyncio.run(_send(api, body, file.name, dry_run))
        else:
            stored = _store(url, body, file.name, dry_run)
    said = f"{stored.added:,} added, {stored.changed:,} changed, {stored.removed:,} removed"
    console.print(
        f"{'would be ' if dry_run else ''}{said}, {stored.unchanged:,} were there already"
    )


def _store(url: str | None, body: bytes, name: str, dry_run: bool) -> Stored:
    try:
        entries = read_csv(body)
    except SpendError as error:
        raise PlatformError(f"{name} is not imported: {error}") from error
    with open_database(owner_url(url)) as connection:
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        with connection.transaction():
            connection.execute("SET TRANSACTION READ WRITE")
            return store(connection, entries, dry_run=dry_run)


async def _send(api: str, body: bytes, name: str, dry_run: bool) -> Stored:
    key = os.environ.get(API_KEY_VARIABLE) or first_secret("analytics-write-key")
    headers = {"Content-Type": "text/csv"} | ({API_KEY_HEADER: key} if key else {})
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.put(
                f"{api.rstrip('/')}/analytics/spend",
                data=body,
                params={"dryRun": str(dry_run).lower()},
            ) as response,
        ):
            answer: dict[str, Any] = await response.json(content_type=None)
            refused = None if response.ok else response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise PlatformError(f"{name} is not imported: {api} does not answer: {error}") from error
    if refused is not None:
        said = answer.get("detail", "no reason given")
        raise PlatformError(f"{name} is not imported: {said} (status {refused})")
    return Stored(**{name: answer[name] for name in ("added", "changed", "unchanged", "removed")})
