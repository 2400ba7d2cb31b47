"""The command `universe`: what it lists, and what a look at it costs."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from infra.cli.main import COMMANDS, main
from tests.support.commands import invoke


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_under_its_name(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert COMMANDS[name].help.endswith(".")


def test_every_command_fits_in_a_line_of_help() -> None:
    width = max(map(len, COMMANDS)) + max(len(command.help) for command in COMMANDS.values())
    assert width + 4 <= 80


def test_a_look_at_the_help_imports_no_component() -> None:
    code = (
        "import sys; from infra.cli.main import main; main(['--help'], standalone_mode=False); "
        "print([n for n in ('aiohttp', 'nats', 'psycopg', 'pydantic', 'rich') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_command_is_told_with_one_that_is_like_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from infra.cli.main import main; main(['statsu'])"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "Did you mean 'status'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_platform_a_connector_has_to_be_named(tmp_path: Path) -> None:
    told = invoke(main, "connector", "explain", "fn", environment={"STATE_DIR": str(tmp_path)})
    assert told.exit_code == 1
    assert "no platform runs with the state folder" in told.output
    assert "or name a connector with --url" in told.output
