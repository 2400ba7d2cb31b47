"""Puts the files of `sql/functions` into the migrations.

    python -m infra.database.include_functions

`sql/functions` holds each function as it is now. dbmate applies migrations and nothing else, so the
newest migration that makes or changes a function holds its text too, between the lines
`-- functions/NAME.sql` and `-- end`; older migrations keep the text they had. A test compares both.
"""

import re
from pathlib import Path

from functions.common.paths import ROOT
from infra.database.migrate import MIGRATIONS

FUNCTIONS = ROOT / "sql" / "functions"
_SECTION = re.compile(r"^-- functions/(\w+\.sql)\n.*?^-- end$", re.MULTILINE | re.DOTALL)


def with_functions(migrations: Path = MIGRATIONS, functions: Path = FUNCTIONS) -> dict[Path, str]:
    """Return the migrations as they should be: each function's text in its newest section.

    Raises:
        LookupError: a function is in no migration.
    """
    texts = {file.name: file.read_text(encoding="utf-8").strip() for file in functions.iterdir()}
    wanted: dict[Path, str] = {}

    def section(found: re.Match[str]) -> str:
        text = texts.pop(found[1], None)  # gone: an older state of it, or it has no file any more
        return found[0] if text is None else f"-- functions/{found[1]}\n{text}\n-- end"

    for file in sorted(migrations.glob("*.sql"), reverse=True):
        wanted[file] = _SECTION.sub(section, file.read_text(encoding="utf-8"))
    if texts:
        raise LookupError(f"no migration includes {', '.join(sorted(texts))}")
    return wanted


if __name__ == "__main__":
    for path, text in with_functions().items():
        path.write_text(text, encoding="utf-8")
