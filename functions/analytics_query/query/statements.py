"""The named SQL statements of reports, read from `sql/queries`."""

import functools
import re

import aiosql

from functions.common.paths import ROOT

QUERIES = ROOT / "sql" / "queries"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)
_INCLUDE = re.compile(r"\{\{(\w+)\}\}")


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
