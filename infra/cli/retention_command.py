"""`universe retention` and `universe seal`: housekeeping of the database."""

from datetime import timedelta

import click

from infra.cli.options import clear_errors, console
from infra.cli.owner_url import owner_url
from infra.database.retention import days_before, drop_days_before, first_kept_day
from infra.database.seal import seal_finished_days

_url = click.option(
    "--url", envvar="DATABASE_URL", help="The database, as its owner.  [env: DATABASE_URL]"
)


@click.command()
@click.option(
    "--keep-days",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="How many whole days are kept, besides today.",
)
@click.option("--dry-run", is_flag=True, help="Only tell which days would be dropped.")
@_url
@clear_errors
def retention(keep_days: int, dry_run: bool, url: str | None) -> None:
    """Drop the days that are older than N days.

    Events go, and everything reports have of them: figures over dropped days are zero. Events of
    such days that arrive later are stored again, until the next run.
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
    help="How long a day must be over, and without new events.",
)
@_url
@clear_errors
def seal(idle_minutes: int, url: str | None) -> None:
    """Seal the days that are over.

    Their partitions get the indexes that event search and user reports want. Run it once a day;
    nobody waits for it, and late events are counted all the same.
    """
    sealed = seal_finished_days(
        owner_url(url),
        timedelta(minutes=idle_minutes),
        lambda day: console.print(f"sealed {day}"),
    )
    console.print(f"{len(sealed)} days sealed")
