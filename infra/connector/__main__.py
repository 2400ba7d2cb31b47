"""Runs the connector: `python -m infra.connector`."""

import asyncio
import logging
import signal
import sys

import uvloop
from aiohttp import web
from pydantic import ValidationError

from functions.common import logs
from infra.connector.app import Connector
from infra.connector.dlq.command import dlq
from infra.connector.help_text import help_text
from infra.connector.http.server import make_app
from infra.connector.settings import ConnectorSettings

log = logging.getLogger("infra.connector")


async def serve(settings: ConnectorSettings) -> None:
    """Run the connector until SIGTERM or SIGINT."""
    connector = Connector(settings)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, connector.stop)
    runner = web.AppRunner(make_app(connector), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.http_port).start()
        await connector.run()
    finally:
        await runner.cleanup()


def main(arguments: list[str]) -> int:
    """Run the connector and return its exit status."""
    if arguments[:1] == ["dlq"]:
        dlq.main(arguments[1:], prog_name="python -m infra.connector dlq")
    if arguments:
        known = arguments in (["--help"], ["-h"])
        print(help_text() if known else "usage: python -m infra.connector [--help]")
        return 0 if known else 2
    try:
        settings = ConnectorSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg']}\n")
        return 2
    logs.configure("connector", settings.log_level)
    try:
        uvloop.run(serve(settings))
    except OSError as error:
        log.error("the connector stops: %s", error)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
