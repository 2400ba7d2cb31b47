"""`universe alerts`: judging alerts now, and sending a test of one."""

import os
import subprocess
import sys

import click

from functions.common.paths import ROOT
from infra.cli.options import errors_as_one_line, platform_settings
from infra.local import state_dir
from infra.local.alerts import MODULE

_url_option = click.option(
    "--url",
    envvar="DATABASE_READER_URL",
    help="The database, as its owner or universe_reader; by default that of the platform with "
    "STATE_DIR.  [env: DATABASE_READER_URL]",
)


@click.group()
def alerts() -> None:
    """Judge alerts now, or send a test of one.

    Settings are those of analytics-query (TIMEZONE, CURRENCY) and of alerts (SMTP_HOST and so on:
    universe settings alerts), from the environment.
    """


@alerts.command()
@click.option("--dry-run", is_flag=True, help="Only print what each alert sees.")
@_url_option
@errors_as_one_line
def check(dry_run: bool, url: str | None) -> None:
    """Judge the alerts that are due, and send what there is to say."""
    _run(url, "check", *(["--dry-run"] if dry_run else []))


@alerts.command()
@click.argument("name")
@_url_option
@errors_as_one_line
def test(name: str, url: str | None) -> None:
    """Send a test to everybody whom the alert NAME tells; exit status 1 where one was not sent."""
    _run(url, "test", name)


def _run(url: str | None, *arguments: str) -> None:
    """Run the program that judges alerts, and end as it ends.

    Raises:
        PlatformError: no database is named, and no platform runs.
    """
    variables = dict(os.environ)
    if url:
        variables["DATABASE_READER_URL"] = url
    else:
        folder = platform_settings().state_dir.resolve()
        addresses = state_dir.load_addresses(folder)
        variables.setdefault("SECRETS_DIR", str(folder / "secrets"))
        page = f"{addresses.gateway_url}/function/analytics-query/"
        variables.setdefault("PUBLIC_URL", page)
        variables.pop("DATABASE_URL", None)  # of the owner, who need not judge alerts
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *arguments], env=variables, cwd=ROOT, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
