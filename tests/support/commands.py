"""Commands run in the process of the test: starting an interpreter for each costs far more."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import click
from click.testing import CliRunner, Result


def invoke(
    command: click.Command,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
    program: str | None = None,
) -> Result:
    """Run a command to its end, in a thread: the test may have an event loop of its own.

    Args:
        command: the command or group.
        arguments: its arguments.
        environment: variables besides those of this process.
        text: its standard input.
        program: the name it calls itself.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(
            CliRunner().invoke,
            command,
            arguments,
            input=text,
            env=environment,
            catch_exceptions=False,
            prog_name=program or command.name,
        ).result()
