"""The command `dlq`: lists, shows, replays and deletes dead letters."""

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from functions.common.broker import EVENTS_DLQ, BrokerSettings
from functions.common.dead_letter import DLQ_ORDER_KEY
from functions.common.durations import parse_duration
from functions.common.errors import UniverseError
from infra.connector.command_line.program import default_broker
from infra.connector.dlq.pace import Pace
from infra.connector.dlq.store import (
    DeadLetterFilter,
    DeadLetterStore,
    StoredDeadLetter,
    ago,
    by_reason,
    open_store,
)
from infra.connector.errors import DeadLetterStoreError
from infra.connector.jetstream.subjects import is_subject

P = ParamSpec("P")
R = TypeVar("R")

CHUNK_MESSAGES = 1000
console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Subject(click.ParamType[str]):
    name = "subject"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and not is_subject(str(value)):
            self.fail(f"not a NATS subject: {value!r}", param, ctx)
        return str(value)


def _filter_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options that select dead letters, and pass them as one argument `criteria`."""

    @wraps(command)
    def run(
        id_: tuple[int, ...],
        event_id: tuple[str, ...],
        reason: str,
        subject: str,
        function: str,
        newer_than: float | None,
        older_than: float | None,
        **rest: Any,
    ) -> R:
        criteria = DeadLetterFilter(
            frozenset(id_),
            frozenset(event_id),
            reason,
            subject,
            function,
            None if newer_than is None else ago(newer_than),
            None if older_than is None else ago(older_than),
        )
        return command(criteria=criteria, **rest)

    options = [
        click.option(
            "--id", "id_", type=click.IntRange(1), multiple=True, help="Its id, as listed."
        ),
        click.option("--event-id", multiple=True, help="The id of an event in it."),
        click.option("--reason", default="", help="A part of the reason."),
        click.option(
            "--subject", type=_Subject(), default="", help="The original's subject, or a pattern."
        ),
        click.option("--function", default="", help="The function that could not process it."),
        click.option(
            "--newer-than", type=_Duration(), help="Dead for less than this, such as 1h30m."
        ),
        click.option("--older-than", type=_Duration(), help="Dead for longer than this."),
    ]
    for option in reversed(options):
        run = option(run)
    return run


def _with_store(
    command: Callable[Concatenate[DeadLetterStore, P], Coroutine[Any, Any, R]],
) -> Callable[..., R]:
    """Connect for a command, and report errors in one line."""

    @click.option(
        "--stream", default=EVENTS_DLQ, show_default=True, help="The stream of dead letters."
    )
    @click.option("--nats-url", envvar="NATS_URL", help="NATS servers.  [env: NATS_URL]")
    @wraps(command)
    def run(stream: str, nats_url: str | None, *args: P.args, **kwargs: P.kwargs) -> R:
        async def connected() -> R:
            async with _store(stream, nats_url) as store:
                return await command(store, *args, **kwargs)

        try:
            return asyncio.run(connected())
        except UniverseError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            raise click.Abort from None

    return run


@asynccontextmanager
async def _store(stream: str, nats_url: str | None) -> AsyncGenerator[DeadLetterStore]:
    settings = BrokerSettings(nats_url=nats_url) if nats_url else default_broker()
    async with open_store(settings, stream, "universe-dlq") as (_, store):
        yield store


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def dlq() -> None:
    """List, show, replay and purge dead letters.

    They are read from the NATS server named by --nats-url or NATS_URL, else by the secret file
    nats-url. `universe dlq` uses the server of the running platform where neither is given.
    """


@dlq.command("list")
@_filter_options
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="0 for all.")
@click.option("--summary", is_flag=True, help="Count them by reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@_with_store
async def list_command(
    store: DeadLetterStore, criteria: DeadLetterFilter, limit: int, summary: bool, as_json: bool
) -> None:
    """List dead letters, the latest last."""
    if summary:
        counts = by_reason([letter async for letter in _matching(store, criteria)])
        if as_json:
            for reason, number in counts:
                click.echo(json.dumps({"reason": reason, "count": number}))
        else:
            console.print(_table(("count", "reason"), [(f"{n:,}", why) for why, n in counts]))
        return
    latest: deque[StoredDeadLetter] = deque(maxlen=limit or None)
    total = 0
    async for letter in _matching(store, criteria):
        latest.append(letter)
        total += 1
    if as_json:
        for letter in latest:
            click.echo(json.dumps(_as_dict(letter)))
        return
    rows = [
        (
            str(letter.sequence),
            f"{letter.died:%Y-%m-%d %H:%M:%S}",
            letter.function,
            letter.subject,
            letter.attempts,
            _event_id(letter),
            letter.reason,
        )
        for letter in latest
    ]
    console.print(
        _table(("id", "time (UTC)", "function", "subject", "attempts", "eventId", "reason"), rows)
    )
    shown = "" if len(rows) == total else f"the latest {len(rows):,} of "
    console.print(f"{shown}{total:,} dead letters")


@dlq.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1))
@click.option("--function", default="", help="Only if it is a dead letter of this function.")
@click.option("--raw", is_flag=True, help="Only the payload, byte for byte.")
@_with_store
async def show(store: DeadLetterStore, id_: int, function: str, raw: bool) -> None:
    """Show the headers and the payload of a dead letter."""
    criteria = DeadLetterFilter(frozenset({id_}), function=function)
    async for letter in _matching(store, criteria):
        if raw:
            sys.stdout.buffer.write(letter.data)
            sys.stdout.buffer.flush()
            return
        console.print(_table(("header", "value"), sorted(letter.headers.items())))
        if key := letter.headers.get(DLQ_ORDER_KEY):
            text = f"later messages of the key {key} waited until it was dead"
            console.print(text, markup=False)
        console.print()
        try:
            console.print_json(letter.data.decode())
        except ValueError:
            console.print(repr(letter.data), markup=False)
        return
    of = f" of {function}" if function else ""
    raise DeadLetterStoreError(f"there is no dead letter {id_}{of}")


@dlq.command()
@_filter_options
@click.option("--all", "all_", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Only count what would be replayed.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many a second.")
@click.option(
    "--to-stream",
    is_flag=True,
    help="Publish them to their subjects: every function that has these gets them.",
)
@_with_store
async def replay(
    store: DeadLetterStore,
    criteria: DeadLetterFilter,
    all_: bool,
    dry_run: bool,
    rate: float | None,
    to_stream: bool,
) -> None:
    """Deliver originals again, with their subject, payload and headers.

    Each goes to the function that could not process it, and to no other: through the stream
    <STREAM>_REDRIVE, from which the connector delivers it. What was rejected before it reached a
    function is published to its subject.

    A dead letter is deleted once its original is stored again, so none is lost if this is
    interrupted. A message that is dead-lettered again gets a new id.
    """
    _require_criteria(criteria, all_)
    if dry_run:
        await _print_counts(store, criteria, "would be replayed")
        return
    done = 0
    pace = Pace(rate) if rate else None
    failed: list[tuple[StoredDeadLetter, str]] = []

    async def replay_chunk(
        letters: list[StoredDeadLetter], advance: Callable[[StoredDeadLetter], None]
    ) -> None:
        nonlocal done
        faults = await store.replay(letters, advance, to_stream=to_stream, pace=pace)
        done += len(letters) - len(faults)
        failed.extend(faults)

    await _in_chunks(store, criteria, "replaying", replay_chunk)
    console.print(f"{done:,} replayed")
    if failed:
        for letter, fault in failed[:10]:
            error_console.print(f"{letter.sequence} stays: {fault}", markup=False)
        raise DeadLetterStoreError(f"{len(failed):,} could not be replayed and stay in the queue")


@dlq.command()
@_filter_options
@click.option("--all", "all_", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_with_store
async def purge(
    store: DeadLetterStore, criteria: DeadLetterFilter, all_: bool, dry_run: bool, yes: bool
) -> None:
    """Delete dead letters for good."""
    _require_criteria(criteria, all_)
    if dry_run:
        await _print_counts(store, criteria, "would be deleted")
        return
    if not yes:
        number = await _count(store, criteria)
        if not await asyncio.to_thread(click.confirm, f"Delete {number:,} dead letters for good?"):
            raise click.Abort
    if criteria.matches_all:
        console.print(f"{await store.remove_all():,} deleted")
        return
    done = 0

    async def remove_chunk(
        letters: list[StoredDeadLetter], advance: Callable[[StoredDeadLetter], None]
    ) -> None:
        nonlocal done
        await store.remove(letters, advance)
        done += len(letters)

    await _in_chunks(store, criteria, "deleting", remove_chunk)
    console.print(f"{done:,} deleted")


def _require_criteria(criteria: DeadLetterFilter, all_: bool) -> None:
    if criteria.matches_all and not all_:
        raise click.UsageError("select dead letters, or use --all")
    if all_ and not criteria.matches_all:
        raise click.UsageError("--all cannot be used with other selections")


async def _matching(
    store: DeadLetterStore, criteria: DeadLetterFilter
) -> AsyncIterator[StoredDeadLetter]:
    async for letter in store.read(criteria):
        if letter is not None:
            yield letter


async def _count(store: DeadLetterStore, criteria: DeadLetterFilter) -> int:
    if criteria.matches_all:
        return await store.size()
    return len([None async for _ in _matching(store, criteria)])


async def _print_counts(store: DeadLetterStore, criteria: DeadLetterFilter, what: str) -> None:
    counts = by_reason([letter async for letter in _matching(store, criteria)])
    console.print(_table(("count", "reason"), [(f"{n:,}", why) for why, n in counts]))
    console.print(f"{sum(number for _, number in counts):,} {what}")


async def _in_chunks(
    store: DeadLetterStore,
    criteria: DeadLetterFilter,
    label: str,
    work: Callable[
        [list[StoredDeadLetter], Callable[[StoredDeadLetter], None]], Coroutine[Any, Any, None]
    ],
) -> None:
    """Do some work on the selected dead letters, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=error_console) as progress:
        task = progress.add_task(label, total=await _count(store, criteria))

        def advance(_: StoredDeadLetter) -> None:
            progress.advance(task)

        chunk: list[StoredDeadLetter] = []
        async for letter in _matching(store, criteria):
            chunk.append(letter)
            if len(chunk) >= CHUNK_MESSAGES:
                await work(chunk, advance)
                chunk = []
        await work(chunk, advance)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False)
    numbers = ("id", "attempts", "count")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in numbers else "left",
            overflow="fold",
            no_wrap=column in ("id", "time (UTC)"),
        )
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    return table


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _event_id(letter: StoredDeadLetter) -> str:
    ids = letter.event_ids
    return f"{ids[0]} (+{len(ids) - 1})" if len(ids) > 1 else "".join(ids)


def _as_dict(letter: StoredDeadLetter) -> dict[str, object]:
    return {
        "id": letter.sequence,
        "time": letter.died.isoformat(timespec="milliseconds"),
        "function": letter.function or None,
        "subject": letter.subject,
        "reason": letter.reason,
        "attempts": int(letter.attempts) if letter.attempts.isdigit() else None,
        "eventIds": letter.event_ids,
        "bytes": len(letter.data),
    }
