"""The entry point of the console command `universe`."""

from importlib.metadata import version

import click

from infra.cli.demo_command import demo
from infra.cli.erase_command import erase, erasures
from infra.cli.export_command import export
from infra.cli.migrate_command import migrate
from infra.cli.options import platform_broker
from infra.cli.publish_command import publish
from infra.cli.retention_command import retention, seal
from infra.cli.settings_command import settings
from infra.cli.status_command import status
from infra.cli.up_command import up
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
    migrate,
    retention,
    seal,
    erase,
    erasures,
    export,
    settings,
):
    main.add_command(command)
