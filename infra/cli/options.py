"""What the commands have in common: settings, and errors as one line."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click
from pydantic import ValidationError
from rich.console import Console

from functions.common.errors import UniverseError
from infra.local import state_dir
from infra.local.settings import PlatformSettings

P = ParamSpec("P")
R = TypeVar("R")

console = Console(highlight=False)


def fail(message: str) -> None:
    """Say in one line what is wrong, and exit with status 1."""
    click.echo("universe: " + " ".join(message.split()), err=True)
    sys.exit(1)


def clear_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that users can do something about into one line and exit status 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
            fail("wrong setting " + "; ".join(faults))
        except UniverseError as error:
            fail(str(error))
        except KeyboardInterrupt:
            sys.exit(130)
        raise AssertionError("unreachable")

    return run


def platform_settings() -> PlatformSettings:
    """Return the platform's settings. Raises pydantic's ValidationError where one is wrong."""
    return PlatformSettings()  # type: ignore[call-arg]


def platform_nats_url() -> str:
    """Return where the NATS server of the running platform is. Raises PlatformError."""
    return state_dir.load_addresses(platform_settings().state_dir).nats_url
