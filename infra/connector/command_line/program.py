"""What a program that offers the connector's commands knows of its surroundings."""

from typing import Protocol

import click

from functions.common.broker import BrokerSettings
from functions.common.settings import read_secret
from infra.connector.errors import DeadLetterStoreError
from infra.connector.settings import DEFAULT_PORT


class Program(Protocol):
    """Where commands look if they are not told; the program puts it into `obj` of the context."""

    def broker(self) -> BrokerSettings:
        """Return how to reach its NATS server, or raise UniverseError."""
        ...

    def connector_url(self) -> str:
        """Return where its connector listens, or raise UniverseError."""
        ...


def default_broker() -> BrokerSettings:
    """Return the broker that the calling program knows of.

    Without such a program, it is in the secret file nats-url, as the connector has it in a cluster.

    Raises:
        UniverseError: there is none.
    """
    if program := _program():
        return program.broker()
    if read_secret("nats-url"):
        return BrokerSettings()
    raise DeadLetterStoreError("name the NATS server with --nats-url or NATS_URL")


def default_connector_url() -> str:
    """Return the URL of the connector that the calling program knows of, else of the default port.

    Raises:
        UniverseError: the program knows of none.
    """
    program = _program()
    return program.connector_url() if program else f"http://127.0.0.1:{DEFAULT_PORT}"


def _program() -> Program | None:
    return click.get_current_context().obj
