"""`universe retention` and `universe seal`: maintenance of the database."""

from datetime import timedelta

import click

from infra.cli.options import console, errors_as_one_line
from infra.cli.owner_url import database_url_option, owner_url
from infra.database.retention import days_before, drop_days_before, first_kept_day
from infra.database.seal import seal_finished_days


@click.command()
@click.option(
    "--keep-days",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Whole days to keep besides today.",
)
@click.option("--dry-run", is_flag=True, help="Print the days without dropping them.")
@database_url_option
@errors_as_one_line
def retention(keep_days: int, dry_run: bool, url: str | None) -> None:
    """Drop the days that are older than N days.

    The events and their rollups are deleted: reports over dropped days are zero. Events of such
    days that arrive later are stored, until the next run.
    """
    database = owner_url(url)
    keep_from = first_kept_day(keep_days)
    if dry_run:
        for day in days_before(database, keep_from):
            console.print(f"would drop {day}")
        return
    dropped = drop_days_before(database, keep_from, lambda day: console.print(f"dropped {day}"))
    console.print(f"{len(dropped)} days dropped; kept from {keep_from} on")


@click.command()
@click.option(
    "--idle-minutes",
    type=click.IntRange(min=0),
    default=60,
    show_default=True,
    help="Minutes since the end of the day, and without new events, before it is sealed.",
)
@database_url_option
@errors_as_one_line
def seal(idle_minutes: int, url: str | None) -> None:
    """Seal the days that are over.

    Their partitions get the indexes that event search and user reports use. Run it once a day. It
    blocks neither writes nor reports, and late events are still counted.
    """
    sealed = seal_finished_days(
        owner_url(url),
        timedelta(minutes=idle_minutes),
        lambda day: console.print(f"sealed {day}"),
    )
    console.print(f"{len(sealed)} days sealed")
