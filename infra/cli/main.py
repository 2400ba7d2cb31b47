"""The entry point of the console command `universe`."""

import importlib
from dataclasses import dataclass
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import click


@dataclass(frozen=True)
class LazyCommand:
    """A command whose module is imported when it is used: all of them take a second.

    Attributes:
        module: where it is, under its own name.
        help: one line about it.
    """

    module: str
    help: str


_COMMANDS = "infra.cli.commands."
COMMANDS = {
    "up": LazyCommand(_COMMANDS + "up", "Start the platform and keep it running until Ctrl-C."),
    "demo": LazyCommand(_COMMANDS + "demo", "Start the platform, send events, report on them."),
    "publish": LazyCommand(_COMMANDS + "publish", "Send generated events over HTTP."),
    "status": LazyCommand(_COMMANDS + "status", "Print functions, backlog, dead letters and rows."),
    "dlq": LazyCommand("infra.connector.dlq.command", "List, show, replay and purge dead letters."),
    "connector": LazyCommand(
        "infra.connector.command_line.commands", "Look after the connector's functions."
    ),
    "migrate": LazyCommand(_COMMANDS + "migrate", "Migrate a database to the newest schema."),
    "retention": LazyCommand(_COMMANDS + "retention", "Drop the days that are older than N days."),
    "seal": LazyCommand(_COMMANDS + "retention", "Seal the days that are over."),
    "erase": LazyCommand(_COMMANDS + "erase", "Erase a person: events, sums, dead letters."),
    "erasures": LazyCommand(_COMMANDS + "erase", "List what was erased; it names no person."),
    "export": LazyCommand(_COMMANDS + "export", "Print everything that is stored of a person."),
    "spend": LazyCommand(_COMMANDS + "spend", "Import what was spent on campaigns."),
    "alerts": LazyCommand(_COMMANDS + "alerts", "Judge alerts now, or send a test of one."),
    "settings": LazyCommand(_COMMANDS + "settings", "List the settings of the components."),
}


class LazyGroup(click.Group):
    """The commands, of which only the one that is used is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None where there is none of that name."""
        lazy = COMMANDS.get(cmd_name)
        return getattr(importlib.import_module(lazy.module), cmd_name) if lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a line; the message about another names one that is like it."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("universe"), prog_name="universe")
@click.pass_context
def main(context: click.Context) -> None:
    """Serverless event processing: webhooks in, analytics out."""
    # where `dlq` and `connector` look without NATS_URL and CONNECTOR_URL
    context.obj = SimpleNamespace(
        broker=lambda: _option("platform_broker"), connector_url=lambda: _option("connector_url")
    )


def _option(name: str) -> Any:
    return getattr(importlib.import_module("infra.cli.options"), name)()
