"""What `erase` and `export` share: whom, which servers, and the progress bars."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import click
from nats.js import JetStreamContext
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from functions.common.broker import EVENTS, EVENTS_DLQ, BrokerSettings
from infra.cli.options import platform_broker
from infra.cli.owner_url import database_url_option, owner_url
from infra.connector.dlq.redrive import redrive_stream
from infra.connector.dlq.store import DeadLetterStore, open_store
from infra.connector.errors import NatsUnavailableError
from infra.local.async_calls.worker import ASYNC_CALLS
from infra.local.errors import PlatformError
from infra.privacy.errors import StreamUnavailableError

WAITING_STREAMS = (ASYNC_CALLS, EVENTS, redrive_stream(EVENTS))
"""Where events are before they are stored or dead."""

F = TypeVar("F", bound=Callable[..., object])

error_console = Console(stderr=True, highlight=False)

_OPTIONS = (
    click.option(
        "--user",
        "user_id",
        required=True,
        prompt="User id",
        metavar="ID",
        help="The user's id, as events have it. Asked for where it is not given, which keeps it "
        "out of the shell's history.",
    ),
    click.option("--source", metavar="NAME", help="Only events of this source, such as tiktok."),
    database_url_option,
    click.option("--nats-url", envvar="NATS_URL", help="NATS servers.  [env: NATS_URL]"),
    click.option(
        "--no-nats",
        is_flag=True,
        help="Only the database: neither dead letters nor what is on its way.",
    ),
)


@dataclass(frozen=True)
class Servers:
    """The servers that a command works on.

    Attributes:
        database: the URL of the database, as its owner.
        nats: how to reach NATS; None: it is left out.
    """

    database: str
    nats: BrokerSettings | None


def person_options(command: F) -> F:
    """Add the options that say whom, and which servers."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def find_servers(url: str | None, nats_url: str | None, no_nats: bool) -> Servers:
    """Return the servers: those that are named, or else those of the running platform.

    Raises:
        PlatformError: a server is not named and no platform runs; or only the database is named:
            dead letters of another platform must not be taken for this one's.
    """
    database = owner_url(url)
    if no_nats:
        return Servers(database, None)
    if nats_url is None and url is not None:
        raise PlatformError(
            "name NATS with --nats-url or NATS_URL; or say --no-nats, which leaves dead letters "
            "and events that are not stored yet as they are"
        )
    return Servers(database, BrokerSettings(nats_url=nats_url) if nats_url else platform_broker())


@asynccontextmanager
async def jetstream(
    settings: BrokerSettings,
) -> AsyncGenerator[tuple[JetStreamContext, DeadLetterStore]]:
    """Connect to NATS for the block.

    Raises:
        StreamUnavailableError: NATS does not respond.
    """
    async with AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(
                open_store(settings, EVENTS_DLQ, "universe-privacy")
            )
        except NatsUnavailableError as error:
            raise StreamUnavailableError(f"{error}; say --no-nats to leave it out") from error
        yield opened


def progress_bars() -> Progress:
    """Return progress bars on standard error, which only a terminal shows."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console,
        disable=not error_console.is_terminal,
    )
