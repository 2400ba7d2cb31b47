"""The connector and the exporter as child processes of the platform."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic_settings import BaseSettings

from functions.common.paths import ROOT
from infra.connector.settings import ConnectorSettings
from infra.local import environment
from infra.local.functions.secrets import link_secrets
from infra.local.process.logfile import LogFile
from infra.local.process.process import Command, Process, spawn
from infra.local.process.supervisor import Supervisor
from infra.local.servers.ports import LOOPBACK
from infra.monitoring.exporter.settings import ExporterSettings

MAX_LOG_BYTES = 8 * 1024**2
CONNECTOR_SECRETS = ("nats-url", "batch-signing-key", "basic-auth-user", "basic-auth-password")
EXPORTER_SECRETS = ("nats-url", "database-reader-url")


def connector(folder: Path, gateway_url: str, port: int) -> Supervisor:
    """Return the supervisor of the connector.

    Args:
        folder: the state folder.
        gateway_url: where it finds functions.
        port: of its health and metrics.
    """
    return _service(
        "connector",
        "infra.connector",
        _environment(folder, "connector", ConnectorSettings, CONNECTOR_SECRETS, port)
        | {"GATEWAY_URL": gateway_url},
        folder,
    )


def exporter(folder: Path, port: int) -> Supervisor:
    """Return the supervisor of the exporter.

    Args:
        folder: the state folder.
        port: of its health and metrics.
    """
    return _service(
        "exporter",
        "infra.monitoring.exporter",
        _environment(folder, "exporter", ExporterSettings, EXPORTER_SECRETS, port),
        folder,
    )


def _environment(
    folder: Path, name: str, settings: type[BaseSettings], secrets: Collection[str], port: int
) -> dict[str, str]:
    linked = link_secrets(folder / "secrets", folder / "run" / f"_{name}" / "secrets", secrets)
    own = {"SECRETS_DIR": str(linked), "HOST": LOOPBACK, "PORT": str(port)}
    return environment.inherited() | environment.settings_of(settings) | own


def _service(name: str, module: str, variables: Mapping[str, str], folder: Path) -> Supervisor:
    command = Command(name, [sys.executable, "-m", module], dict(variables), ROOT)
    log = LogFile(folder / "logs" / name / f"{name}.log", MAX_LOG_BYTES)

    async def start() -> Process:
        return spawn(command, log)

    return Supervisor(name, start)
