"""`universe export`: what is stored of a person."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.progress import Progress

from functions.common.broker import BrokerSettings
from functions.common.json_text import to_json
from infra.cli.options import errors_as_one_line
from infra.cli.person_options import (
    WAITING_STREAMS,
    error_console,
    find_servers,
    jetstream,
    person_options,
    progress_bars,
)
from infra.cli.run import run
from infra.local.errors import PlatformError
from infra.local.private_file import open_private
from infra.privacy.dead_letters import letters_of
from infra.privacy.erase import open_database, stored_days
from infra.privacy.export import dead_events, stored_events
from infra.privacy.person import Person
from infra.privacy.waiting import waiting_messages


class _Output:
    """Writes objects as lines, or as one array."""

    def __init__(self, file: BinaryIO, array: bool) -> None:
        self._file = file
        self._array = array
        self.written = 0

    def write(self, value: dict[str, Any]) -> None:
        """Write one object."""
        if self._array:
            self._file.write(b",\n" if self.written else b"[\n")
        self._file.write(to_json(value) + (b"" if self._array else b"\n"))
        self.written += 1

    def end(self) -> None:
        """Write what comes after the last object."""
        if self._array:
            self._file.write(b"\n]\n" if self.written else b"[]\n")
        self._file.flush()


@click.command()
@person_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json"]),
    default="jsonl",
    show_default=True,
    help="jsonl: an object per line; json: one array.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file, readable by you only; default: standard output.",
)
@errors_as_one_line
def export(
    user_id: str,
    source: str | None,
    url: str | None,
    nats_url: str | None,
    no_nats: bool,
    form: str,
    output: Path | None,
) -> None:
    """Print everything that is stored of a person, oldest first.

    Events are as they were sent, with `receivedAt`. Events in dead letters come last, as `sent`
    beside `deadLetter`, which says why they were not stored.
    """
    person = Person(user_id, source)
    servers = find_servers(url, nats_url, no_nats)
    waiting = 0
    with _open(output) as file, progress_bars() as bars:
        written = _Output(file, array=form == "json")
        with open_database(servers.database) as connection:
            days = stored_days(connection)
            task = bars.add_task("reading days", total=len(days))
            for day in days:
                for event in stored_events(connection, person, day):
                    written.write(event)
                bars.advance(task)
        if servers.nats:
            waiting = run(_export_dead_letters(servers.nats, person, written, bars)) or 0
        written.end()
    error_console.print(f"{written.written:,} events exported")
    if waiting:
        error_console.print(
            f"{waiting:,} messages, of anybody, still wait to be stored and are not in it"
        )


async def _export_dead_letters(
    nats: BrokerSettings, person: Person, written: _Output, bars: Progress
) -> int:
    async with jetstream(nats) as (js, store):
        task = bars.add_task("reading dead letters", total=await store.size())
        async for found in letters_of(store, person, lambda: bars.advance(task)):
            for event in dead_events(found):
                written.write(event)
        return sum([await waiting_messages(js, stream) for stream in WAITING_STREAMS])


@contextmanager
def _open(output: Path | None) -> Generator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        with open_private(output, "wb") as file:
            yield file
    except OSError as error:
        raise PlatformError(f"{output} cannot be written: {error.strerror}") from error
