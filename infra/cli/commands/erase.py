"""`universe erase` and `universe erasures`."""

import json
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from nats.js import JetStreamContext
from psycopg import Connection
from rich.progress import Progress, TaskID
from rich.table import Table

from functions.common.broker import EVENTS_DLQ, BrokerSettings
from infra.cli.options import console, errors_as_one_line
from infra.cli.owner_url import database_url_option, owner_url
from infra.cli.person_options import (
    WAITING_STREAMS,
    Servers,
    find_servers,
    jetstream,
    person_options,
    progress_bars,
)
from infra.cli.run import run
from infra.connector.dlq.store import DeadLetterStore
from infra.privacy.dead_letters import erase_letter, letters_of
from infra.privacy.erase import (
    TouchedDay,
    add_dead_letters,
    begin_record,
    erase_day,
    find_days,
    finish_record,
    open_database,
    stored_days,
)
from infra.privacy.errors import IncompleteErasureError
from infra.privacy.person import Person
from infra.privacy.waiting import wait_until_processed, waiting_messages

MAX_ROUNDS = 3
"""The database is searched again after each round: events may have come meanwhile."""


@dataclass
class Found:
    """What there is of a person: events, the days that they are on, dead letters; and how many
    messages, of anybody, are on their way to the database."""

    events: int = 0
    days: int = 0
    dead_letters: int = 0
    waiting: int = 0

    def as_json(self) -> dict[str, int]:
        """Return it as `--json` prints it."""
        return {
            "events": self.events,
            "days": self.days,
            "deadLetters": self.dead_letters,
            "waitingMessages": self.waiting,
        }


@click.command()
@person_options
@click.option("--reference", metavar="TEXT", help="What you call the request, for the record.")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait until events that are on their way are stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@errors_as_one_line
def erase(
    user_id: str,
    source: str | None,
    url: str | None,
    nats_url: str | None,
    no_nats: bool,
    reference: str | None,
    dry_run: bool,
    yes: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Erase a person: events, what was summed of them, dead letters.

    Stop whatever still sends events of the person first. It waits until what was accepted before
    is stored, deletes the person's dead letters and events, and counts the touched days again, so
    that every report equals the same report over the events that stay. Writing and reports go on
    meanwhile. If it is interrupted, run it again; when it is through, running it again finds
    nothing. A record without the person is kept: `universe erasures`.
    """
    person = Person(user_id, source)
    servers = find_servers(url, nats_url, no_nats)
    with open_database(servers.database) as connection:
        with progress_bars() as bars:
            days = _find(connection, person, bars)
            found = Found(sum(day.events for day in days), len(days))
            if servers.nats:
                _finish(_count_in_streams(servers.nats, person, found, bars))
        if dry_run:
            _print_found(found, servers, as_json)
            return
        if not yes:
            _print_found(found, servers, as_json=False)
            click.confirm("Erase it for good?", abort=True)
        record = begin_record(connection, person, reference)
        erased = Found()
        with progress_bars() as bars:
            if servers.nats:
                try:
                    _finish(_erase_in_streams(servers.nats, person, wait, erased, bars))
                finally:
                    add_dead_letters(connection, record, erased.dead_letters)
            _erase_in_database(connection, person, record, erased, bars)
        _print_erased(erased, as_json)
        if erased.waiting:
            raise IncompleteErasureError(
                f"{erased.waiting:,} messages that came before still wait to be stored and may "
                "hold events of the person: run it again when they are stored (universe status)"
            )
        finish_record(connection, record)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@database_url_option
@errors_as_one_line
def erasures(as_json: bool, url: str | None) -> None:
    """List what was erased; nothing in it names a person."""
    with open_database(owner_url(url)) as connection:
        rows = connection.execute(
            "SELECT id, reference, source, started_at, finished_at, events, days, dead_letters"
            " FROM erasures ORDER BY id"
        ).fetchall()
    names = ("id", "reference", "source", "started", "finished", "events", "days", "deadLetters")
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(zip(names, row, strict=True)), default=str))
        return
    table = Table(box=None)
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*("" if value is None else f"{value}" for value in row))
    console.print(table, markup=False)


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine; end the command where it is interrupted."""

    async def finished() -> bool:
        await work
        return True

    if not run(finished()):
        sys.exit(130)


def _find(connection: Connection, person: Person, bars: Progress) -> list[TouchedDay]:
    days = stored_days(connection)
    task = bars.add_task("searching days", total=len(days))
    return find_days(connection, person, days, lambda done: bars.advance(task, done))


async def _count_in_streams(
    nats: BrokerSettings, person: Person, found: Found, bars: Progress
) -> None:
    async with jetstream(nats) as (js, store):
        for stream in WAITING_STREAMS:
            found.waiting += await waiting_messages(js, stream)
        task = bars.add_task("searching dead letters", total=await store.size())
        async for _ in letters_of(store, person, lambda: bars.advance(task)):
            found.dead_letters += 1


async def _erase_in_streams(
    nats: BrokerSettings, person: Person, wait: float, erased: Found, bars: Progress
) -> None:
    """Delete dead letters, wait until what is on its way is stored or dead, and delete again.

    The first time because dead letters may be replayed, the second because of those that died.
    """
    async with jetstream(nats) as (js, store):
        await _erase_dead_letters(js, store, person, erased, bars)
        for stream in WAITING_STREAMS:
            total = await waiting_messages(js, stream)
            task = bars.add_task(f"waiting for {stream}", total=total)

            def left(messages: int, task: TaskID = task, total: int = total) -> None:
                bars.update(task, completed=max(total - messages, 0))

            erased.waiting += await wait_until_processed(js, stream, wait, left)
        await _erase_dead_letters(js, store, person, erased, bars)


async def _erase_dead_letters(
    js: JetStreamContext, store: DeadLetterStore, person: Person, erased: Found, bars: Progress
) -> None:
    task = bars.add_task("dead letters", total=await store.size())
    async for found in letters_of(store, person, lambda: bars.advance(task)):
        await erase_letter(js, store, EVENTS_DLQ, found)
        erased.dead_letters += 1


def _erase_in_database(
    connection: Connection, person: Person, record: int, erased: Found, bars: Progress
) -> None:
    for _ in range(MAX_ROUNDS):
        days = _find(connection, person, bars)
        if not days:
            return
        task = bars.add_task("counting events again", total=sum(day.all_events for day in days))
        counted = partial(bars.advance, task)
        for each in days:
            erased.events += erase_day(connection, person, each.day, record, counted)
            erased.days += 1
    if _find(connection, person, bars):
        raise IncompleteErasureError(
            "events of the person are still coming in: stop what sends them, then run it again"
        )


def _print_found(found: Found, servers: Servers, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.as_json()))
        return
    console.print(f"{found.events:,} events on {found.days:,} days")
    if servers.nats:
        console.print(f"{found.dead_letters:,} dead letters")
        if found.waiting:
            console.print(f"{found.waiting:,} messages, of anybody, still wait to be stored")


def _print_erased(erased: Found, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(erased.as_json()))
        return
    console.print(
        f"erased {erased.events:,} events on {erased.days:,} days and "
        f"{erased.dead_letters:,} dead letters"
    )
