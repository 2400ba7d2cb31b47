"""Runs the exporter: `python -m infra.monitoring.exporter`."""

import logging
import sys

from aiohttp import web
from pydantic import ValidationError

from functions.common import logs
from functions.common.errors import SecretError
from functions.common.settings import setting_faults
from infra.monitoring.exporter.server import make_app
from infra.monitoring.exporter.settings import ExporterSettings

logger = logging.getLogger("infra.monitoring.exporter")


def main(arguments: list[str]) -> int:
    """Run the exporter until SIGTERM or SIGINT, and return its exit status."""
    if arguments:
        known = arguments in (["--help"], ["-h"])
        print(_help() if known else "usage: python -m infra.monitoring.exporter [--help]")
        return 0 if known else 2
    try:
        settings = ExporterSettings()
    except (ValidationError, SecretError) as error:
        sys.stderr.writelines(f"{fault}\n" for fault in setting_faults(error))
        return 2
    logs.configure("exporter", settings.log_level)
    try:
        web.run_app(
            make_app(settings),
            host=settings.host,
            port=settings.port,
            access_log=None,
            print=_log_first_line,
        )
    except OSError as error:
        logger.error("the exporter stops: %s", error)
        return 1
    return 0


def _log_first_line(text: str) -> None:
    logger.info("%s", text.splitlines()[0])


def _help() -> str:
    lines = [
        "usage: python -m infra.monitoring.exporter [--help]",
        "",
        "Serves metrics of PostgreSQL and JetStream on /metrics, for Prometheus.",
        "Runs until SIGTERM or SIGINT.",
        "",
        "environment:",
    ]
    for name, field in ExporterSettings.model_fields.items():
        default = "unset" if field.default is None else field.default
        lines.append(f"  {name.upper()}  [{default}]  {field.description}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
