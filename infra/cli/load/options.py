"""The options of commands that send generated events."""

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def load_options(*, events: int, duplicates: float = 0.0, invalid: float = 0.0) -> Callable[[F], F]:
    """Return a decorator that adds --events, --batch, --duplicates, --invalid and --days.

    Args:
        events: the default of --events.
        duplicates: the default of --duplicates.
        invalid: the default of --invalid.
    """
    share = click.FloatRange(0, 1)
    options = (
        _option("--events", click.IntRange(1), events, "Events to send."),
        _option("--batch", click.IntRange(1), 500, "Events per request."),
        _option("--duplicates", share, duplicates, "Share of repeated events, 0 to 1."),
        _option("--invalid", share, invalid, "Share of invalid events, 0 to 1."),
        _option("--days", click.FloatRange(0.001), 7, "How many days back event times go."),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _option(
    name: str, kind: click.ParamType[int] | click.ParamType[float], default: float, meaning: str
) -> Callable[[F], F]:
    return click.option(name, type=kind, default=default, show_default=True, help=meaning)
