"""The single-machine platform: servers, migrations, gateway and connector, started in order."""

import asyncio
import contextlib
import io
import logging
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats.errors
from pydantic_settings import BaseSettings

from functions.common import logs
from functions.common.broker import BrokerSettings, connect, ensure_streams, without_login
from infra.database import housekeeping
from infra.database.migrate import migrate
from infra.local import alerts, environment, services, state_dir
from infra.local.errors import PlatformError
from infra.local.functions.replica import prepare_starts
from infra.local.functions.secrets import DOORS, open_doors
from infra.local.gateway.app import LocalGateway
from infra.local.gateway.settings import GatewaySettings
from infra.local.private_file import open_private
from infra.local.process.process import Process
from infra.local.process.supervisor import Supervisor
from infra.local.servers.embedded_server import EmbeddedServer
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.ports import LOOPBACK, free_port, is_free
from infra.local.servers.postgres import READER, WRITER, EmbeddedPostgres
from infra.local.settings import PlatformSettings
from infra.local.state_dir import PlatformAddresses

logger = logging.getLogger(__name__)

DOOR_EFFECTS = {
    "INGEST_AUTH": "anybody who reaches the gateway may send events",
    "ANALYTICS_AUTH": "anybody who reaches the gateway may read",
    "ANALYTICS_WRITE_AUTH": "anybody who reaches the gateway may write spend, views, links, "
    "annotations and alerts",
    "BATCH_AUTH": "anybody who reaches the gateway may store events",
}
"""The settings that open a door, and what that means."""

ALERTS_SETTINGS = ("functions.analytics_query.handler", alerts.MODULE)
"""Whose settings judging alerts goes by: those of the figures, and those of sending."""

ProgressCallback = Callable[[str], None]


@dataclass(frozen=True)
class DatabaseUrls:
    """The URLs of the database, by the role that connects."""

    owner: str
    writer: str
    reader: str


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    state_dir: Path
    gateway_url: str
    broker: BrokerSettings
    connector_url: str
    databases: DatabaseUrls
    gateway: LocalGateway
    open_doors: tuple[str, ...]

    @property
    def nats_url(self) -> str:
        """The NATS server, without the login to it."""
        return without_login(self.broker.nats_url)


def _no_progress(step: str) -> None:
    """Report nothing."""


@asynccontextmanager
async def running(
    settings: PlatformSettings,
    function_settings: Mapping[str, type[BaseSettings]],
    on_progress: ProgressCallback = _no_progress,
) -> AsyncGenerator[Platform]:
    """Start the platform; stop it, with everything it started, when the block ends.

    Args:
        settings: the settings.
        function_settings: the settings that are handed on to a function, by its handler's module.
        on_progress: called with a short description of each step.

    Raises:
        PlatformError: it cannot start; the message says what to do.
    """
    folder = settings.state_dir.resolve()
    async with AsyncExitStack() as stack:
        stack.enter_context(state_dir.lock_state_dir(folder))
        if settings.gateway_port and not is_free(settings.gateway_port):
            raise PlatformError(
                f"port {settings.gateway_port} is in use: choose another with GATEWAY_PORT"
            )
        stack.enter_context(_log_to(folder / "logs" / "platform.log"))
        prepare_starts(folder)
        environment.move_secrets_to_files(folder)
        for name in DOORS:
            if (folder / "secrets" / name).exists():
                state_dir.read_secret(folder, name)  # an empty one stops the platform here
        for name in ("batch-signing-key", "alerts-signing-key"):
            state_dir.ensure_secret(folder, name)
        state_dir.write_secret(
            folder, "nats-url", await _start_nats(settings, folder, stack, on_progress)
        )
        broker = state_dir.broker_settings(folder)
        nats_url = without_login(broker.nats_url)
        await _create_streams(broker)
        databases = await _start_database(settings, folder, stack, on_progress)
        stack.callback(housekeeping.start(databases.owner, settings.retention_days))
        state_dir.write_secret(folder, "database-owner-url", databases.owner)
        state_dir.write_secret(folder, "database-url", databases.writer)
        state_dir.write_secret(folder, "database-reader-url", databases.reader)
        state_dir.write_secret(folder, "basic-auth-user", "admin")

        on_progress("starting the gateway")
        gateway = LocalGateway(
            GatewaySettings(
                state_dir=folder,
                gateway_port=settings.gateway_port,
                function_env={"NATS_URL": nats_url},
                handler_env={
                    handler: environment.settings_of(each)
                    for handler, each in function_settings.items()
                },
            ),
            broker,
        )
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        stack.callback(_start_alerts(folder, gateway.url, databases.reader, function_settings))
        files = [Path(file.strip()) for file in settings.stack_files.split(",")]
        await gateway.deploy_stack(files)
        doors = tuple(_open_doors(gateway))
        for door in doors:
            logger.warning("open door: %s", door)

        connector_port = settings.connector_port or free_port()
        if settings.connector:
            on_progress("starting the connector")
            connector = services.connector(folder, gateway.url, connector_port)
            await connector.start()
            stack.push_async_callback(connector.stop)
            gateway.services["connector"] = f"{LOOPBACK}:{connector_port}"
        if settings.exporter:
            exporter_port = settings.exporter_port or free_port()
            exporter = services.exporter(folder, exporter_port)
            await exporter.start()
            stack.push_async_callback(exporter.stop)
            gateway.services["exporter"] = f"{LOOPBACK}:{exporter_port}"

        connector_url = f"http://{LOOPBACK}:{connector_port}"
        addresses = PlatformAddresses(os.getpid(), gateway.url, nats_url, connector_url)
        state_dir.save_addresses(folder, addresses)
        stack.callback(state_dir.remove_addresses, folder)
        yield Platform(folder, gateway.url, broker, connector_url, databases, gateway, doors)
        on_progress("stopping")


def _start_alerts(
    folder: Path,
    gateway_url: str,
    database_url: str,
    function_settings: Mapping[str, type[BaseSettings]],
) -> Callable[[], None]:
    variables = {"PUBLIC_URL": f"{gateway_url}/function/analytics-query/"}
    for module in ALERTS_SETTINGS:
        if module in function_settings:
            variables |= environment.settings_of(function_settings[module])
    return alerts.start(folder, database_url, variables)


def _open_doors(gateway: LocalGateway) -> Generator[str]:
    """Yield a line for each door that is open: what it means, and what closes it."""
    settings = gateway.settings
    if not settings.basic_auth:
        yield "anybody who reaches the gateway may deploy functions: BASIC_AUTH=false"
    for function in gateway.registry:
        version = function.version
        opened = open_doors(settings.secrets_dir, version.deployment.secrets)
        given = version.deployment.env_vars | settings.handler_env.get(version.handler.module, {})
        for secret, variable in (DOORS | {"batch-signing-key": "BATCH_AUTH"}).items():
            if (opened | given).get(variable) == "none":
                path = settings.secrets_dir / secret
                closes = f"unset {variable}" if path.exists() else f"put a key into {path}"
                hint = f"to close it, {closes} and start again"
                yield f"{function.name}: {DOOR_EFFECTS[variable]} ({variable}=none); {hint}"


async def _start_nats(
    settings: PlatformSettings, folder: Path, stack: AsyncExitStack, on_progress: ProgressCallback
) -> str:
    """Return the URL of NATS, with the login to the embedded server."""
    if settings.nats_url:
        return settings.nats_url
    on_progress("starting NATS")
    password = state_dir.ensure_secret(folder, "nats-embedded-password")
    server = EmbeddedNats(folder / "nats", password=password)
    await _keep_running(server, stack)
    return server.url


async def _create_streams(settings: BrokerSettings) -> None:
    """Create the streams before the connector looks for them.

    Raises:
        PlatformError: NATS is away, or refuses the streams.
    """
    try:
        nc = await connect(settings, "universe", forever=False)
        try:
            await ensure_streams(nc.jetstream(), settings)
        finally:
            await nc.close()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        url = without_login(settings.nats_url)
        raise PlatformError(
            f"NATS at {url} cannot be used: {reason}; check NATS_URL and its login, or unset "
            "it: the platform then starts a server of its own"
        ) from error


async def _start_database(
    settings: PlatformSettings, folder: Path, stack: AsyncExitStack, on_progress: ProgressCallback
) -> DatabaseUrls:
    if settings.database_url:
        on_progress("migrating the database")
        migrate(settings.database_url)
        return DatabaseUrls(
            settings.database_url,
            settings.database_writer_url or settings.database_url,
            settings.database_reader_url or settings.database_url,
        )
    on_progress("starting PostgreSQL")
    server = EmbeddedPostgres(folder / "postgres")
    await _keep_running(server, stack)
    on_progress("migrating the database")
    server.ensure_database()
    migrate(server.url())
    server.set_role_passwords()
    return DatabaseUrls(server.url(), server.url(WRITER), server.url(READER))


async def _keep_running(server: EmbeddedServer, stack: AsyncExitStack) -> None:
    """Start a server, start it again whenever it ends, and stop it when the stack unwinds.

    Starting blocks, so a thread does it, and the gateway goes on serving while a database recovers.
    That thread lives as long as the server: the kernel tells the server of the thread's death.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=server.name)
    stack.callback(thread.shutdown, wait=False, cancel_futures=True)
    stack.callback(server.stop)  # also ends a start that is under way

    async def start() -> Process:
        return await asyncio.get_running_loop().run_in_executor(thread, server.start)

    supervisor = Supervisor(server.name, start)
    stack.push_async_callback(supervisor.stop)
    await supervisor.start()


@contextlib.contextmanager
def _log_to(file: Path) -> Generator[None]:
    if file.exists() and file.stat().st_size > services.MAX_LOG_BYTES:
        file.replace(file.with_name(file.name + ".1"))
    with io.TextIOWrapper(open_private(file), encoding="utf-8", line_buffering=True) as stream:
        logs.configure("platform", stream=stream)
        try:
            yield
        finally:
            logging.getLogger().handlers.clear()
