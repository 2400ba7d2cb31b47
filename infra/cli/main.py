"""The entry point of the console command `universe`."""

from importlib.metadata import version

import click

from infra.cli.commands.demo import demo
from infra.cli.commands.erase import erase, erasures
from infra.cli.commands.export import export
from infra.cli.commands.migrate import migrate
from infra.cli.commands.publish import publish
from infra.cli.commands.retention import retention, seal
from infra.cli.commands.settings import settings
from infra.cli.commands.status import status
from infra.cli.commands.up import up
from infra.cli.options import platform_broker
from infra.connector.commands import connector
from infra.connector.dlq.command import dlq


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("universe"), prog_name="universe")
@click.pass_context
def main(context: click.Context) -> None:
    """Serverless event processing: webhooks in, analytics out."""
    context.obj = platform_broker  # where `dlq` looks without NATS_URL


for command in (
    up,
    demo,
    publish,
    status,
    dlq,
    connector,
    migrate,
    retention,
    seal,
    erase,
    erasures,
    export,
    settings,
):
    main.add_command(command)
