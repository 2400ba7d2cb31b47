"""`universe migrate`: migrates the database's schema."""

import click

from infra.cli.options import console, errors_as_one_line
from infra.cli.owner_url import database_url_option, owner_url
from infra.database import migrate as migrations


@click.command()
@database_url_option
@click.option(
    "--status", "only_status", is_flag=True, help="Print pending migrations and apply none."
)
@click.option("--rollback", is_flag=True, help="Undo the newest migration instead.")
@errors_as_one_line
def migrate(url: str | None, only_status: bool, rollback: bool) -> None:
    """Migrate a database to the newest schema.

    Without a URL, it migrates the database of the platform that runs with STATE_DIR.
    """
    url = owner_url(url)
    if only_status:
        found = migrations.status(url)
        console.print(f"applied {len(found.applied)}, pending {len(found.pending)}")
        for version in found.pending:
            console.print(f"  pending {version}")
        for version in found.newer:
            console.print(f"  newer than this code {version}")
        for version in found.older:
            console.print(f"  older than this code can take over {version}")
        return
    if rollback:
        migrations.rollback(url)
        console.print("undid the newest migration")
    else:
        migrations.migrate(url)
        console.print("the database is up to date")
