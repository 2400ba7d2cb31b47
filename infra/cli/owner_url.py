"""The database that a command changes: its URL, with the owner's role."""

import click

from infra.cli.options import platform_settings
from infra.local import state_dir
from infra.local.errors import PlatformError

database_url_option = click.option(
    "--url", envvar="DATABASE_URL", help="The database, as its owner.  [env: DATABASE_URL]"
)


def owner_url(url: str | None) -> str:
    """Return `url`, else the database of the platform that runs with STATE_DIR.

    Raises:
        PlatformError: no platform runs, or its secrets cannot be read.
    """
    if url:
        return url
    folder = platform_settings().state_dir
    state_dir.load_addresses(folder)
    try:
        return state_dir.read_secret(folder, "database-owner-url")
    except PlatformError as error:
        raise PlatformError("name the database with --url or DATABASE_URL") from error
