"""The named SQL statements of reports, read from `sql/queries`."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiosql

from functions.common.paths import ROOT

QUERIES = ROOT / "sql" / "queries"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)
_INCLUDE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class SqlText:
    """An expression of SQL with its parameters.

    One is given to a statement as the value of a parameter, and takes that parameter's place. Its
    text is made of the code's own words only: what a request says is in its parameters.
    """

    text: str
    params: Mapping[str, Any]


def with_expressions(
    statement: str, params: Mapping[str, Any] | None
) -> tuple[str, Mapping[str, Any] | None]:
    """Put the parameters that are expressions into a statement; return it with the other ones."""
    expressions = {n: v for n, v in (params or {}).items() if isinstance(v, SqlText)}
    if params is None or not expressions:
        return statement, params
    rest = {name: value for name, value in params.items() if name not in expressions}
    for name, expression in expressions.items():
        if f"%({name})s" in statement:
            statement = statement.replace(f"%({name})s", expression.text)
            rest |= expression.params
    return statement, rest


class Statements:
    """The statements of one file by their names, as psycopg takes them.

    A statement includes the fragments of `report_filters.sql` as `{{name}}`. One that reads its
    rows from several places, depending on the question, includes a slot instead (`{{sums}}`), and
    the caller names the fragment for the slot: `statements.over("funnel", sums="sums_types")`.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._texts = _parts(file)

    def __getitem__(self, name: str) -> str:
        """Return a statement that has no slot. Raises LookupError where a name is unknown."""
        return self.over(name)

    @functools.cache  # noqa: B019  # one object a file, for the life of the process
    def over(self, name: str, **slots: str) -> str:
        """Return a statement over the fragments that are named for its slots.

        Raises:
            LookupError: there is no statement, slot or fragment of such a name.
        """
        if name not in self._texts:
            raise LookupError(f"{self._file} has no statement {name}")
        unused = slots.keys() - set(_INCLUDE.findall(self._texts[name]))
        if unused:
            raise LookupError(f"{self._file}: {name} has no slot {', '.join(sorted(unused))}")
        text = f"-- name: {name}\n{_complete(self._texts[name], slots)}"
        # aiosql leaves the type arguments of a parameter open
        queries = aiosql.from_str(  # pyright: ignore[reportUnknownMemberType]
            text, "psycopg", mandatory_parameters=False
        )
        return getattr(queries, name).sql


@functools.cache
def fragments() -> dict[str, str]:
    """Return the fragments that statements include, by their names."""
    return {
        name: _COMMENT.sub("", text).strip() for name, text in _parts("report_filters.sql").items()
    }


def _parts(file: str) -> dict[str, str]:
    parts = _NAME.split((QUERIES / file).read_text(encoding="utf-8"))[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _complete(text: str, slots: dict[str, str]) -> str:
    """Put the fragments in that a text includes; they may include others."""

    def fragment(found: re.Match[str]) -> str:
        name = slots.get(found[1], found[1])
        if name not in fragments():
            raise LookupError(f"report_filters.sql has no fragment {name}")
        return fragments()[name]

    while _INCLUDE.search(text):
        text = _INCLUDE.sub(fragment, text)
    return text
