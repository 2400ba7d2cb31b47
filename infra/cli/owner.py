"""The database as its owner, for commands that change it."""

from infra.cli.options import platform_settings
from infra.local import runtime
from infra.local.errors import PlatformError


def owner_url(url: str | None) -> str:
    """Return `url`, else the database of the platform that runs with STATE_DIR.

    Raises:
        PlatformError: no platform runs, or its secrets cannot be read.
    """
    if url:
        return url
    state_dir = platform_settings().state_dir
    runtime.load(state_dir)
    try:
        return runtime.secret(state_dir, "database-owner-url")
    except PlatformError as error:
        raise PlatformError("name the database with --url or DATABASE_URL") from error
