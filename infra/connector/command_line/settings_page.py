"""The page `infra/connector/settings.md`: every annotation, label and setting in one table.

`python -m infra.connector --markdown > infra/connector/settings.md` writes it.
"""

import re
from collections.abc import Iterator

from functions.common.settings import is_secret_file
from infra.connector.command_line.help_text import show
from infra.connector.openfaas.annotations import ANNOTATIONS, LABELS
from infra.connector.settings import ConnectorSettings

_HEAD = """\
# Annotations and settings of the connector

An annotation or label is a function's own; the variable beside it is the default of all
functions, and holds for the URL where there is no gateway. Durations are written as `250ms`, `30s`
or `1h30m`; a bare number is seconds. A variable that is not set is read from the file of its name,
in small letters with dashes, in `SECRETS_DIR`, by default `/var/openfaas/secrets`.
`python -m infra.connector --markdown` writes this page.

| annotation | variable | default | meaning |
|---|---|---|---|
"""
_SETTING = re.compile(r" \(([A-Z_]+)\)$")


def page() -> str:
    """Return the page."""
    rows = [*_of_functions(), *_of_the_connector()]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _of_functions() -> Iterator[tuple[str, str, str, str]]:
    for name, text in ANNOTATIONS.items():
        setting = _SETTING.search(text)
        variable = setting[1] if setting else ""
        default = _code(_default(variable)) if variable else ""
        yield _code(name), _code(variable), default, _SETTING.sub("", text)
    for name, meaning in LABELS.items():
        yield f"{_code(name)} (label)", "", "", meaning


def _of_the_connector() -> Iterator[tuple[str, str, str, str]]:
    listed = {match[1] for text in ANNOTATIONS.values() if (match := _SETTING.search(text))}
    for name, field in ConnectorSettings.model_fields.items():
        if name.upper() in listed:
            continue
        variable = _code(name.upper())
        if is_secret_file(field):
            variable = f"{_code(name.replace('_', '-'))} (file)"
        yield "", variable, _code(_default(name.upper())), field.description or ""


def _default(variable: str) -> str:
    default = ConnectorSettings.model_fields[variable.lower()].default
    return "" if default in (None, ()) else show(default)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
