"""The named SQL statements of reports, read from `sql/queries`."""

import functools
import re

import aiosql

from functions.common.paths import ROOT

QUERIES = ROOT / "sql" / "queries"
_INCLUDE = re.compile(r"\{\{(\w+)\}\}")


class Statements:
    """The statements of one file by their names, as psycopg takes them."""

    def __init__(self, file: str) -> None:
        self._text = (QUERIES / file).read_text(encoding="utf-8")

    def __getitem__(self, name: str) -> str:
        return self.over("events", name)

    def over(self, rows: str, name: str) -> str:
        """Return a statement with the fragment `sums_<rows>` as its `{{sums}}`.

        The same holds for `{{groups}}` and `groups_<rows>`.
        """
        return self._load(rows)[name]

    @functools.cache  # noqa: B019  # one object a file, for the life of the process
    def _load(self, rows: str) -> dict[str, str]:
        queries = aiosql.from_str(
            _complete(self._text, rows), "psycopg", mandatory_parameters=False
        )
        return {name: getattr(queries, name).sql for name in queries.available_queries}


@functools.cache
def _fragments() -> dict[str, str]:
    text = (QUERIES / "report_filters.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {
        name: re.sub(r"^--.*\n?", "", body, flags=re.MULTILINE).strip()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _complete(text: str, rows: str) -> str:
    """Put the fragments in that a file includes; they may include others."""
    fragments = _fragments()
    for kind in ("sums", "groups"):
        fragments = {kind: fragments.get(f"{kind}_{rows}", "")} | fragments
    while _INCLUDE.search(text):
        text = _INCLUDE.sub(lambda found: fragments[found[1]], text)
    return text
