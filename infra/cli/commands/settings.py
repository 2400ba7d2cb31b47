"""`universe settings`: every setting of every component, from the settings classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from pydantic.fields import FieldInfo
from rich.table import Table

from functions.common.paths import ROOT
from functions.common.settings import is_secret_file
from infra.cli.components import COMPONENTS
from infra.cli.options import console
from infra.connector.command_line.help_text import show

_PAGE_HEAD = """\
# Settings

Every setting of every component, as `universe settings` prints them. They are environment
variables. Where one is not set, the file of its name in small letters with dashes is read from
`SECRETS_DIR`, or else from `/var/openfaas/secrets`: `DATABASE_URL` from the file `database-url`. An
empty variable counts as not set, an empty secret file is an error. Keys are read from files only,
one in each line, and each line is valid. `LOG_LEVEL` (`INFO`) holds for all components.

This page is written by `universe settings --markdown`.
"""


@dataclass(frozen=True)
class Setting:
    """One setting: the name of its variable or file, its default, and what it means."""

    variable: str
    default: str
    meaning: str


def settings_of(component: str) -> Iterator[Setting]:
    """Yield the settings of a component, in the order of its classes."""
    seen: set[str] = set()
    for each in COMPONENTS[component]:
        for name, field in each.model_fields.items():
            if name not in seen:
                seen.add(name)
                yield Setting(_variable(name, field), _default(field), _meaning(field))


def page() -> str:
    """Return the page `docs/settings.md`."""
    parts = [_PAGE_HEAD]
    for component in COMPONENTS:
        parts.append(f"## {component}\n\n| variable | default | meaning |\n|---|---|---|")
        for setting in settings_of(component):
            default = f"`{setting.default}`" if setting.default else ""
            parts.append(f"| `{setting.variable}` | {default} | {setting.meaning} |")
        parts.append("")
    return "\n".join(parts)


@click.command()
@click.argument("component", required=False, type=click.Choice(list(COMPONENTS)))
@click.option("--markdown", is_flag=True, help="Print the page docs/settings.md.")
def settings(component: str | None, markdown: bool) -> None:
    """List every setting of COMPONENT, or of all, with its default and meaning."""
    if markdown:
        click.echo(page(), nl=False)
        return
    for name in [component] if component else COMPONENTS:
        table = Table(title=name, title_justify="left", title_style="bold", box=None)
        for title in ("variable", "default", "meaning"):
            table.add_column(title, overflow="fold")
        for each in settings_of(name):
            table.add_row(each.variable, each.default, each.meaning)
        console.print(table, markup=False)
        console.print()


def _variable(name: str, field: FieldInfo) -> str:
    return f"{name.replace('_', '-')} (secret file)" if is_secret_file(field) else name.upper()


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).rstrip(".")


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value in ("", ()):
        return ""
    if value == ROOT:
        return "the code's folder"
    return f"{value:g}" if isinstance(value, float) else show(value).replace(f"{ROOT}/", "")
