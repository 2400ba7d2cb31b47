"""The entry point: `python -m infra.connector [run | dlq | explain | pause | resume | forget]`."""

import asyncio
import logging
import os
import signal
import sys

import uvloop
from aiohttp import web
from pydantic import ValidationError

from functions.common import logs
from functions.common.errors import SecretError
from functions.common.settings import setting_faults
from infra.connector.app import Connector
from infra.connector.command_line.commands import connector
from infra.connector.command_line.help_text import USAGE, help_text
from infra.connector.command_line.settings_page import page
from infra.connector.dlq.command import dlq
from infra.connector.errors import NatsClosedError
from infra.connector.http.server import make_app
from infra.connector.settings import ConnectorSettings

logger = logging.getLogger("infra.connector")


async def serve(settings: ConnectorSettings) -> None:
    """Run the connector until SIGTERM or SIGINT.

    Raises:
        OSError: the port is taken.
        NatsClosedError: the NATS connection was closed for good.
    """
    connector = Connector(settings)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, connector.stop)
    runner = web.AppRunner(make_app(connector), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.http_port).start()
        except OSError as error:
            raise OSError(
                f"port {settings.http_port}, for health and metrics, cannot be had on "
                f"{settings.host}: {os.strerror(error.errno or 0)}; PORT names another"
            ) from error
        await connector.run()
    finally:
        await runner.cleanup()


def run() -> int:
    """Run the connector with the settings of the environment, and return its exit status."""
    try:
        settings = ConnectorSettings()
    except (ValidationError, SecretError) as error:
        sys.stderr.writelines(f"{fault}\n" for fault in setting_faults(error))
        return 2
    logs.configure("connector", settings.log_level)
    try:
        uvloop.run(serve(settings))
    except (NatsClosedError, OSError) as error:
        logger.error("the connector stops: %s", error)
        return 1
    logger.info("stopped")
    return 0


def main(arguments: list[str]) -> int:
    """Run a command and return its exit status."""
    match arguments:
        case [] | ["run"]:
            return run()
        case ["dlq", *rest]:
            dlq.main(rest, prog_name="python -m infra.connector dlq")
            return 0
        case [command, *_] if command in connector.commands:
            connector.main(arguments, prog_name="python -m infra.connector")
            return 0
        case ["-h" | "--help"] | ["run", "-h" | "--help"]:
            print(help_text())
            return 0
        case ["--markdown"]:
            print(page(), end="")
            return 0
        case _:
            print(USAGE)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
