"""What the commands share: settings, the console, and errors as one line."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click
from pydantic import ValidationError
from rich.console import Console

from functions.common.broker import BrokerSettings
from functions.common.errors import UniverseError
from functions.common.settings import setting_faults
from infra.local import state_dir
from infra.local.settings import PlatformSettings

P = ParamSpec("P")
R = TypeVar("R")

console = Console(highlight=False)


def errors_as_one_line(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command print errors that users can act on as one line, and exit with status 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ValidationError as error:
            message = "wrong setting " + "; ".join(setting_faults(error))
        except UniverseError as error:
            message = str(error)
        except KeyboardInterrupt:
            sys.exit(130)
        click.echo("universe: " + " ".join(message.split()), err=True)
        sys.exit(1)

    return run


def platform_settings() -> PlatformSettings:
    """Return the platform's settings.

    Raises:
        pydantic.ValidationError: a setting is not valid.
    """
    return PlatformSettings.model_validate({})


def platform_broker() -> BrokerSettings:
    """Return how to reach the NATS server of the platform that runs with STATE_DIR.

    Raises:
        PlatformError: no platform runs, or its secrets cannot be read.
    """
    folder = platform_settings().state_dir
    state_dir.load_addresses(folder)
    return state_dir.broker_settings(folder)


def connector_url() -> str:
    """Return where the connector of the platform that runs with STATE_DIR listens.

    Raises:
        PlatformError: no platform runs.
    """
    return state_dir.load_addresses(platform_settings().state_dir).connector_url


def first_secret(name: str) -> str | None:
    """Return the first line of a secret of the platform with STATE_DIR; None if there is none.

    Raises:
        PlatformError: it is empty, or cannot be read.
    """
    folder = platform_settings().state_dir
    if not (folder / "secrets" / name).exists():
        return None
    return state_dir.read_secret(folder, name).splitlines()[0].strip()
