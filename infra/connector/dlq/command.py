"""`universe dlq`: look at dead letters, send them again, remove them."""

import asyncio
import json
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from nats.errors import Error as NatsError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from functions.common import broker
from functions.common.broker import EVENTS_DLQ, BrokerSettings, connect
from functions.common.durations import parse_duration
from functions.common.errors import UniverseError
from infra.connector.dlq.store import (
    Choice,
    DeadLetterStore,
    Entry,
    StoreError,
    ago,
    by_reason,
)
from infra.connector.subjects import is_subject

P = ParamSpec("P")
R = TypeVar("R")

CHUNK = 1000
console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)


class _Duration(click.ParamType):
    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Subject(click.ParamType):
    name = "subject"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and not is_subject(str(value)):
            self.fail(f"not a NATS subject: {value!r}", param, ctx)
        return str(value)


def _choosing(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options that choose dead letters, and hand them over as one `choice`."""

    @wraps(command)
    def run(
        id_: tuple[int, ...],
        event_id: tuple[str, ...],
        reason: str,
        subject: str,
        newer_than: float | None,
        older_than: float | None,
        **rest: Any,
    ) -> R:
        choice = Choice(
            frozenset(id_),
            frozenset(event_id),
            reason,
            subject,
            None if newer_than is None else ago(newer_than),
            None if older_than is None else ago(older_than),
        )
        return command(choice=choice, **rest)

    options = [
        click.option("--id", "id_", type=click.IntRange(1), multiple=True, help="Its number."),
        click.option("--event-id", multiple=True, help="The id of an event in it."),
        click.option("--reason", default="", help="A part of the reason."),
        click.option(
            "--subject", type=_Subject(), default="", help="The original's subject, or a pattern."
        ),
        click.option("--newer-than", type=_Duration(), help="Dead for less, such as 1h30m."),
        click.option("--older-than", type=_Duration(), help="Dead for longer."),
    ]
    for option in reversed(options):
        run = option(run)
    return run


def _with_store(
    command: Callable[Concatenate[DeadLetterStore, P], Coroutine[Any, Any, R]],
) -> Callable[..., R]:
    """Connect to the queue for a command, and say in one line what goes wrong."""

    @click.option("--stream", default=EVENTS_DLQ, show_default=True, help="The dead-letter queue.")
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
async def _store(stream: str, nats_url: str | None) -> AsyncIterator[DeadLetterStore]:
    url = nats_url or _default_url()
    settings = BrokerSettings(nats_url=url)  # type: ignore[call-arg]
    logging.getLogger(broker.__name__).setLevel(logging.CRITICAL)  # the error is told once
    try:
        nc = await connect(settings, "universe-dlq", forever=False)
    except (NatsError, OSError) as error:
        raise StoreError(f"NATS does not answer at {url}: {error}") from error
    try:
        yield DeadLetterStore(nc, nc.jetstream(), stream)
    finally:
        await nc.close()


def _default_url() -> str:
    """Return the server that the calling command knows of: `universe` puts a finder in `obj`."""
    find_url = click.get_current_context().obj
    if find_url is None:
        raise StoreError("name the NATS server with --nats-url or NATS_URL")
    return find_url()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def dlq() -> None:
    """Dead letters: list, show, replay, purge.

    The queue is read from the server NATS_URL; `universe dlq` finds the running platform's itself.
    """


@dlq.command("list")
@_choosing
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="0 for all.")
@click.option("--summary", is_flag=True, help="Only count them by reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_with_store
async def list_command(
    store: DeadLetterStore, choice: Choice, limit: int, summary: bool, as_json: bool
) -> None:
    """List dead letters, the latest last."""
    if summary:
        counts = by_reason([entry async for entry in _chosen(store, choice)])
        if as_json:
            for reason, number in counts:
                click.echo(json.dumps({"reason": reason, "count": number}))
        else:
            console.print(_table(("count", "reason"), [(f"{n:,}", why) for why, n in counts]))
        return
    latest: deque[Entry] = deque(maxlen=limit or None)
    total = 0
    async for entry in _chosen(store, choice):
        latest.append(entry)
        total += 1
    if as_json:
        for entry in latest:
            click.echo(json.dumps(_as_dict(entry)))
        return
    rows = [
        (
            str(entry.sequence),
            f"{entry.died:%Y-%m-%d %H:%M:%S}",
            entry.subject,
            entry.attempts,
            _event_id(entry),
            entry.reason,
        )
        for entry in latest
    ]
    console.print(_table(("id", "time (UTC)", "subject", "attempts", "eventId", "reason"), rows))
    shown = "" if len(rows) == total else f"the latest {len(rows):,} of "
    console.print(f"{shown}{total:,} dead letters")


@dlq.command()
@click.argument("id_", metavar="ID", type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="Only the payload, byte for byte.")
@_with_store
async def show(store: DeadLetterStore, id_: int, raw: bool) -> None:
    """Show one dead letter: headers and payload."""
    async for entry in _chosen(store, Choice(frozenset({id_}))):
        if raw:
            sys.stdout.buffer.write(entry.data)
            sys.stdout.buffer.flush()
            return
        console.print(_table(("header", "value"), sorted(entry.headers.items())))
        console.print()
        try:
            console.print_json(entry.data.decode())
        except ValueError:
            console.print(repr(entry.data), markup=False)
        return
    raise StoreError(f"there is no dead letter {id_}")


@dlq.command()
@_choosing
@click.option("--all", "all_", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be replayed.")
@_with_store
async def replay(store: DeadLetterStore, choice: Choice, all_: bool, dry_run: bool) -> None:
    """Publish originals again where they came from, with their bytes and headers.

    A dead letter is removed when its original is safe in its stream, so none is lost if this is
    interrupted. What is dead again comes back with a new number.
    """
    _require_choice(choice, all_)
    if dry_run:
        await _tell(store, choice, "would be replayed")
        return
    done = 0
    failed: list[tuple[Entry, str]] = []

    async def replay_chunk(entries: list[Entry], advance: Callable[[Entry], None]) -> None:
        nonlocal done
        faults = await store.replay(entries, advance)
        done += len(entries) - len(faults)
        failed.extend(faults)

    await _in_chunks(store, choice, "replaying", replay_chunk)
    console.print(f"{done:,} replayed")
    if failed:
        for entry, fault in failed[:10]:
            error_console.print(f"{entry.sequence} stays: {fault}", markup=False)
        raise StoreError(f"{len(failed):,} could not be replayed and stay in the queue")


@dlq.command()
@_choosing
@click.option("--all", "all_", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_with_store
async def purge(
    store: DeadLetterStore, choice: Choice, all_: bool, dry_run: bool, yes: bool
) -> None:
    """Remove dead letters for good."""
    _require_choice(choice, all_)
    if dry_run:
        await _tell(store, choice, "would be removed")
        return
    if not yes:
        number = await _count(store, choice)
        if not await asyncio.to_thread(click.confirm, f"Remove {number:,} dead letters for good?"):
            raise click.Abort
    if choice.everything:
        console.print(f"{await store.remove_all():,} removed")
        return
    done = 0

    async def remove_chunk(entries: list[Entry], advance: Callable[[Entry], None]) -> None:
        nonlocal done
        await store.remove(entries, advance)
        done += len(entries)

    await _in_chunks(store, choice, "removing", remove_chunk)
    console.print(f"{done:,} removed")


def _require_choice(choice: Choice, all_: bool) -> None:
    if choice.everything and not all_:
        raise click.UsageError("choose dead letters, or say --all")
    if all_ and not choice.everything:
        raise click.UsageError("--all goes with no other choice")


async def _chosen(store: DeadLetterStore, choice: Choice) -> AsyncIterator[Entry]:
    async for entry in store.read(choice):
        if entry is not None:
            yield entry


async def _count(store: DeadLetterStore, choice: Choice) -> int:
    if choice.everything:
        return await store.size()
    return len([None async for _ in _chosen(store, choice)])


async def _tell(store: DeadLetterStore, choice: Choice, what: str) -> None:
    counts = by_reason([entry async for entry in _chosen(store, choice)])
    console.print(_table(("count", "reason"), [(f"{n:,}", why) for why, n in counts]))
    console.print(f"{sum(number for _, number in counts):,} {what}")


async def _in_chunks(
    store: DeadLetterStore,
    choice: Choice,
    label: str,
    work: Callable[[list[Entry], Callable[[Entry], None]], Coroutine[Any, Any, None]],
) -> None:
    """Do something with the chosen dead letters while a bar shows how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=error_console) as progress:
        task = progress.add_task(label, total=await _count(store, choice))

        def advance(_: Entry) -> None:
            progress.advance(task)

        chunk: list[Entry] = []
        async for entry in _chosen(store, choice):
            chunk.append(entry)
            if len(chunk) >= CHUNK:
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


def _event_id(entry: Entry) -> str:
    ids = entry.event_ids
    return f"{ids[0]} (+{len(ids) - 1})" if len(ids) > 1 else "".join(ids)


def _as_dict(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.sequence,
        "time": entry.died.isoformat(timespec="milliseconds"),
        "subject": entry.subject,
        "reason": entry.reason,
        "attempts": int(entry.attempts) if entry.attempts.isdigit() else None,
        "eventIds": entry.event_ids,
        "bytes": len(entry.data),
    }
