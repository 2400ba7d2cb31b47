"""The local gateway: OpenFaaS gateway and provider in one HTTP server."""

import asyncio
import errno
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CollectorRegistry

from functions.common.broker import BrokerSettings
from infra.local.async_calls.queue import AsyncCallQueue
from infra.local.errors import PlatformError
from infra.local.functions.idle_scaler import run_idle_scaler
from infra.local.functions.registry import Registry
from infra.local.functions.replica import prepare_starts
from infra.local.functions.stack import read_stacks
from infra.local.gateway.admission import Admission
from infra.local.gateway.auth import Login, ensure_password
from infra.local.gateway.front import Front
from infra.local.gateway.http1.bodies import BODIES, RequestBodies
from infra.local.gateway.http1.client import MAX_HEADER_BYTES, ClientListener
from infra.local.gateway.http1.connections import OpenConnections
from infra.local.gateway.http1.content import READ_BUFFER_BYTES
from infra.local.gateway.proxy import ProxyRoutes
from infra.local.gateway.refusals import Refusals
from infra.local.gateway.routes.async_calls import AsyncRoutes
from infra.local.gateway.routes.discovery import DiscoveryRoutes
from infra.local.gateway.routes.functions import FunctionRoutes
from infra.local.gateway.routes.info import InfoRoutes
from infra.local.gateway.routes.logs import LogRoutes
from infra.local.gateway.routes.metrics import MetricsRoutes
from infra.local.gateway.routes.scale import ScaleRoutes
from infra.local.gateway.routes.secrets import SecretRoutes
from infra.local.gateway.routes.ui import UiRoutes
from infra.local.gateway.settings import GatewaySettings
from infra.local.gateway.system_api import SystemApi, answer_refusals
from infra.local.servers.ports import LOOPBACK

logger = logging.getLogger(__name__)


class LocalGateway:
    """Runs functions as processes and serves OpenFaaS's REST API for them.

    Use it as an asynchronous context manager, or call `start` and `stop`.
    """

    def __init__(
        self, settings: GatewaySettings | None = None, broker: BrokerSettings | None = None
    ) -> None:
        """Make a gateway that is not started yet.

        Args:
            settings: by default those of the environment.
            broker: where asynchronous calls wait; by default `nats_url` of the settings.
        """
        self.settings = settings or GatewaySettings()
        if broker is None and self.settings.nats_url:
            broker = BrokerSettings.model_validate({"nats_url": self.settings.nats_url})
        self._broker = broker
        self.password: str | None = None
        """The admin's password once started, or None without authentication."""
        self.services: dict[str, str] = {}
        """`host:port` by name of the services beside the functions that serve `/metrics`."""
        self._registry: Registry | None = None
        self._runner: web.AppRunner | None = None
        self._listener: ClientListener | None = None
        self._calls: AsyncCallQueue | None = None
        self._idle_scaler: asyncio.Task[None] | None = None
        self._port = self.settings.gateway_port

    @property
    def registry(self) -> Registry:
        """The deployed functions."""
        assert self._registry is not None, "not started"
        return self._registry

    @property
    def url(self) -> str:
        """The URL that the gateway listens on."""
        return f"http://{self.settings.gateway_host}:{self._port}"

    @property
    def _local_url(self) -> str:
        """The URL for requests of this process, also if the gateway listens on all addresses."""
        host = self.settings.gateway_host
        host = LOOPBACK if host in {"0.0.0.0", "::", ""} else host  # noqa: S104
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen, and bring back the functions that were deployed through the API.

        Raises:
            PlatformError: the port is in use or the state folder cannot be written.
        """
        settings = self.settings
        try:
            password = ensure_password(settings.secrets_dir)
        except OSError as error:
            raise PlatformError(f"state folder {settings.state_dir}: {error}") from error
        self.password = password if settings.basic_auth else None
        if not settings.basic_auth:
            logger.warning("BASIC_AUTH=false: anybody who reaches the gateway may deploy functions")
        prepare_starts(settings.state_dir)
        self._registry = Registry(settings)
        self._metrics = CollectorRegistry()
        self._login = Login(self.password)
        self._refused = Refusals(self._metrics)
        self._bodies = RequestBodies(
            settings.body_timeout, settings.body_buffer_total_bytes, self._metrics
        )
        if self._broker:
            self._calls = AsyncCallQueue(
                self._registry, self._broker, settings.callback_rule, self._metrics
            )
        self._runner = web.AppRunner(
            self._application(self._registry),
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
            keepalive_timeout=90.0,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            read_bufsize=READ_BUFFER_BYTES,
            shutdown_timeout=settings.term_timeout,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        front = self._front(self._registry, SystemApi(self._runner.server))
        connections = OpenConnections(settings.max_connections, self._refused, self._metrics)
        self._listener = ClientListener(front, connections, settings.response_timeout)
        try:
            self._port = await self._listener.start(settings.gateway_host, settings.gateway_port)
        except OSError as error:
            await self.stop()
            if error.errno == errno.EADDRINUSE:
                raise PlatformError(
                    f"port {settings.gateway_port} of {settings.gateway_host} is in use: "
                    "set GATEWAY_PORT to another one"
                ) from error
            raise PlatformError(f"cannot listen on {self.url}: {error}") from error
        self._warn_of_open_doors()
        self._registry.restore()
        if self._calls is not None:
            self._calls.start(self._local_url)
        self._idle_scaler = asyncio.create_task(run_idle_scaler(self._registry), name="idle scaler")

    def _warn_of_open_doors(self) -> None:
        settings = self.settings
        if "*" in settings.host_names:
            logger.warning("ALLOWED_HOSTS=*: pages can read the gateway by DNS rebinding")
        if "*" in settings.origins:
            logger.warning("ALLOWED_ORIGINS=*: pages of any site may call functions")

    async def stop(self) -> None:
        """Finish the requests in flight, then stop all replicas: SIGTERM, later SIGKILL."""
        if self._idle_scaler is not None:
            self._idle_scaler.cancel()
            await asyncio.gather(self._idle_scaler, return_exceptions=True)
        if self._calls is not None:
            await self._calls.stop()
        if self._listener is not None and self._registry is not None:
            self._listener.close()
            self._registry.end_followers()
            self._bodies.end_all()
            await self._listener.wait_closed(self.settings.term_timeout)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._registry is not None:
            await self._registry.close()

    async def deploy_stack(
        self, paths: Sequence[Path], env: Mapping[str, str] | None = None
    ) -> list[str]:
        """Deploy the functions of stack files and return their names.

        Args:
            paths: later files add to functions of earlier ones.
            env: variables for `${...}` in the files, before those of the process.

        Raises:
            PlatformError: a file or a function in it cannot be used.
        """
        names: list[str] = []
        for deployment in read_stacks(paths, {**os.environ, **(env or {})}):
            try:
                self.registry.deploy(deployment, from_api=False)
            except ValueError as error:
                raise PlatformError(f"function {deployment.service}: {error}") from error
            names.append(deployment.service)
        return names

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _application(self, registry: Registry) -> web.Application:
        admin = self._login.protect
        discovery = DiscoveryRoutes(registry, self.services)
        functions = FunctionRoutes(registry)
        info = InfoRoutes(self.settings.namespace)
        secrets = SecretRoutes(self.settings.secrets_dir, self.settings.namespace)
        app = web.Application(middlewares=[answer_refusals(self._refused)])
        app[BODIES] = self._bodies
        calls = AsyncRoutes(registry, self._calls, self._bodies)
        app.router.add_post("/async-function/{tail:.+}", calls.invoke)
        app.router.add_get("/healthz", info.health)
        app.router.add_get("/metrics", admin(MetricsRoutes(registry, self._metrics).metrics))
        app.router.add_get("/system/http-sd", admin(discovery.targets))
        app.router.add_get("/system/info", admin(info.info))
        app.router.add_get("/system/namespaces", admin(info.namespaces))
        app.router.add_get("/system/namespace/{name}", admin(info.namespace))
        for method in ("POST", "PUT", "DELETE"):
            app.router.add_route(method, "/system/namespace/{name}", admin(info.change_namespace))
        app.router.add_get("/system/functions", admin(functions.list))
        app.router.add_post("/system/functions", admin(functions.deploy))
        app.router.add_put("/system/functions", admin(functions.update))
        app.router.add_delete("/system/functions", admin(functions.delete))
        app.router.add_get("/system/function/{name}", admin(functions.describe))
        app.router.add_post("/system/scale-function/{name}", admin(ScaleRoutes(registry).scale))
        app.router.add_get("/system/secrets", admin(secrets.list))
        app.router.add_post("/system/secrets", admin(secrets.create))
        app.router.add_put("/system/secrets", admin(secrets.update))
        app.router.add_delete("/system/secrets", admin(secrets.delete))
        app.router.add_get("/system/logs", admin(LogRoutes(registry).logs))

        ui = UiRoutes(registry, self._calls)
        app.router.add_get("/", ui.redirect)
        app.router.add_get("/ui/state", admin(ui.state))
        app.router.add_get("/ui/{file:[^/]*}", admin(ui.file))
        return app

    def _front(self, registry: Registry, api: SystemApi) -> Front:
        proxy = ProxyRoutes(registry, self._login, self._bodies, self._refused)
        return Front(Admission(self.settings), self._refused, proxy, api)
