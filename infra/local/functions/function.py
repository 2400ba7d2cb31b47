"""One deployed function and the processes that are its replicas."""

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import psutil

from infra.local.api_models import FunctionDeployment
from infra.local.functions.handler_resolver import FunctionCode, find_code
from infra.local.functions.invocations import Invocations
from infra.local.functions.scaling import ScaleEvents, ScaleRule, scale_rule
from infra.local.gateway.settings import GatewaySettings
from infra.local.gateway.upstream import ConnectFailedError, Upstream, UpstreamError, probe
from infra.local.process.logfile import LogFile
from infra.local.process.process import Backoff, Command, ManagedProcess, start_process
from infra.local.servers.ports import LOOPBACK, free_port

logger = logging.getLogger(__name__)

_ENTRY = Path("templates/python3-functions-framework/index.py")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LOG_LEVEL")
_HEALTH_ANNOTATIONS = ("com.openfaas.health.http.path", "com.openfaas.ready.http.path")
_START_BACKOFF = Backoff(first=0.5, limit=30.0)
_CRASH_BACKOFF = Backoff(first=0.05, limit=2.0)
_REFUSE_BEYOND = 2.5
"""Requests wait for a restart that is nearer than this; else they are refused at once."""
_STABLE_SECONDS = 10.0
_SLOT_SECONDS = 5.0


class State(Enum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class NoReplicaError(Exception):
    """A request cannot be given to a replica now."""

    def __init__(self, status: int, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


class StartFailedError(Exception):
    """A replica did not become ready."""


@dataclass(eq=False)
class Replica:
    """One process of a function."""

    name: str
    generation: int
    state: State = State.STARTING
    port: int = 0
    process: ManagedProcess | None = None
    upstream: Upstream | None = None
    in_flight: int = 0
    turn: int = 0
    """When it was picked last, in picks of its function."""
    drained: "asyncio.Future[None] | None" = None
    ready_at: float = 0.0

    @property
    def address(self) -> str:
        """`host:port` of its HTTP server."""
        return f"{LOOPBACK}:{self.port}"

    def release(self) -> None:
        """A request that it was picked for is done."""
        self.in_flight -= 1
        if self.in_flight == 0 and self.drained is not None and not self.drained.done():
            self.drained.set_result(None)


@dataclass(frozen=True)
class Version:
    """What one deployment of a function means on this machine."""

    deployment: FunctionDeployment
    code: FunctionCode
    rule: ScaleRule
    probe_path: str | None
    """A replica takes requests as soon as it answers here, with any status; without a path, as
    soon as it accepts connections. Liveness goes before readiness: a function whose database is
    away must still be asked, to answer 503 itself, and must not be kept from starting."""


def read_deployment(deployment: FunctionDeployment, settings: GatewaySettings) -> Version:
    """Check a deployment.

    Raises:
        ValueError: it cannot run here; the message says why.
    """
    for secret in deployment.secrets:
        if not (settings.secrets_dir / secret).is_file():
            raise ValueError(f"unable to find secret: {secret}")
    annotations = deployment.annotations
    paths = (annotations[key] for key in _HEALTH_ANNOTATIONS if annotations.get(key))
    return Version(
        deployment,
        find_code(settings.root, deployment.service, deployment.image, annotations),
        scale_rule(deployment.labels, settings),
        next(paths, None),
    )


class Function:
    """A deployed function: starts, picks, replaces and stops its replicas.

    All methods are called from the event loop; `desired` replicas of the newest version are what
    `_reconcile` works towards after every change.
    """

    def __init__(
        self,
        version: Version,
        *,
        settings: GatewaySettings,
        log: LogFile,
        start_slots: asyncio.Semaphore,
        events: ScaleEvents,
        created_at: datetime | None = None,
    ) -> None:
        self.name = version.deployment.service
        self.version = version
        self.created_at = created_at or datetime.now(UTC)
        self.log = log
        self.invocations = Invocations()
        self.desired = 0
        self.waiting = 0
        self.failed_replicas = 0
        self.started_replicas = 0
        self.start_seconds = 0.0
        self.last_error = ""
        self.replicas: list[Replica] = []
        self._settings = settings
        self._slots = start_slots
        self._events = events
        self._ready: list[Replica] = []
        self._generation = 0
        self._turn = 0
        self._failures = 0
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.last_active = time.monotonic()

    # --- requests

    @property
    def available(self) -> int:
        """Replicas that take requests."""
        return len(self._ready)

    @property
    def ready(self) -> list[Replica]:
        """The replicas that take requests."""
        return list(self._ready)

    def pick(self) -> Replica | None:
        """Return the ready replica with the fewest requests in flight, counted as one more.

        Among equals it is the one that has waited longest. The caller must `release` it.
        """
        best: Replica | None = None
        for replica in self._ready:
            if (
                best is None
                or replica.in_flight < best.in_flight
                or (replica.in_flight == best.in_flight and replica.turn < best.turn)
            ):
                best = replica
        if best is not None:
            self._turn += 1
            best.turn = self._turn
            best.in_flight += 1
        return best

    async def wait_and_pick(self) -> Replica:
        """Wake the function if it sleeps, wait for a ready replica and pick it.

        Raises:
            NoReplicaError: there will be none soon.
        """
        deadline = time.monotonic() + self._settings.cold_start_timeout
        self.waiting += 1
        try:
            while True:
                self.last_active = time.monotonic()
                if self._closed:
                    raise NoReplicaError(503, f"function {self.name} is being removed", 1)
                if self.desired == 0:
                    self._set_desired(max(1, self.version.rule.minimum), "request")
                replica = self.pick()
                if replica is not None:
                    return replica
                backoff = self._not_before - time.monotonic()
                if backoff > _REFUSE_BEYOND and not self._starting():
                    raise NoReplicaError(
                        503,
                        f"function {self.name} keeps failing ({self.last_error}); "
                        f"its next start is in {backoff:.0f} s",
                        backoff,
                    )
                await self._change(deadline)
        finally:
            self.waiting -= 1
            self.last_active = time.monotonic()

    async def _change(self, deadline: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await waiter
        except TimeoutError:
            raise NoReplicaError(
                504,
                f"no replica of function {self.name} became ready in "
                f"{self._settings.cold_start_timeout:g} s",
                5,
            ) from None
        except StartFailedError as error:
            wait = max(1.0, self._not_before - time.monotonic())
            raise NoReplicaError(503, f"function {self.name}: {error}", wait) from None
        finally:
            self._waiters.discard(waiter)

    def _wake_waiters(self, error: Exception | None = None) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)

    # --- what there should be

    def start(self) -> None:
        """Bring up the replicas that a new deployment has."""
        rule = self.version.rule
        self._set_desired(rule.clamp(max(self.desired, rule.minimum)), "deploy")

    def update(self, version: Version) -> None:
        """Replace the replicas: those of the new version first become ready, then the old go."""
        self.version = version
        self._generation += 1
        self._failures = 0
        self._not_before = 0.0
        self.last_active = time.monotonic()
        for replica in self.replicas:
            if replica.state is State.STARTING:
                self._retire(replica)
        self.start()
        self._reconcile()

    def scale(self, replicas: int, reason: str = "api") -> int:
        """Ask for a number of replicas, within the labels' bounds; return what was set."""
        self.last_active = time.monotonic()
        self._set_desired(self.version.rule.clamp(replicas), reason)
        if self.desired == 0:
            self._wake_waiters()  # whoever waits for a replica wants one all the same
        return self.desired

    def sleep_if_idle(self) -> None:
        """Go to zero when the time without requests is long enough."""
        after = self.version.rule.zero_after
        if (
            after is not None
            and self.desired > 0
            and self.invocations.in_flight == 0
            and self.waiting == 0
            and time.monotonic() - self.last_active >= after
        ):
            self._set_desired(0, "idle")

    async def close(self) -> None:
        """Stop taking requests, finish those in hand and stop all replicas."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.desired = 0
        for replica in list(self.replicas):
            self._retire(replica)
        self._wake_waiters()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _set_desired(self, replicas: int, reason: str) -> None:
        if replicas != self.desired:
            self._events.add(self.name, self.desired, replicas, reason)
            logger.info("%s: %d -> %d replicas (%s)", self.name, self.desired, replicas, reason)
            self.desired = replicas
            self._reconcile()

    def _current(self, *states: State) -> list[Replica]:
        return [r for r in self.replicas if r.generation == self._generation and r.state in states]

    def _starting(self) -> bool:
        return any(replica.state is State.STARTING for replica in self.replicas)

    def _reconcile(self) -> None:
        """Start or retire replicas until there are as many as there should be."""
        if self._closed:
            return
        current = self._current(State.STARTING, State.READY)
        missing = self.desired - len(current)
        if missing > 0:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                self._reconcile_in(wait)
            else:
                for _ in range(missing):
                    self._spawn(self._live(self._new_replica()))
        elif missing < 0:
            current.sort(key=lambda r: (r.state is State.READY, r.in_flight, -r.ready_at))
            for replica in current[:-missing]:
                self._retire(replica)
        if len(self._current(State.READY)) >= self.desired:
            for replica in list(self.replicas):
                if replica.generation != self._generation:
                    self._retire(replica)

    def _reconcile_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._reconcile)

    # --- a replica's life

    def _new_replica(self) -> Replica:
        replica = Replica(f"{self.name}-{secrets.token_hex(3)}", self._generation)
        self.replicas.append(replica)
        return replica

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, replica: Replica) -> None:
        asked = time.monotonic()
        version = self.version
        try:
            async with self._start_slot():
                if replica.state is State.STARTING:
                    await self._bring_up(replica, version)
        except StartFailedError as error:
            self._start_failed(replica, error)
            return
        process = replica.process
        if process is None or replica.state is not State.STARTING:
            return  # retired before it was ready
        replica.state = State.READY
        replica.ready_at = time.monotonic()
        self.started_replicas += 1
        self.start_seconds += replica.ready_at - asked
        self._ready.append(replica)
        self._wake_waiters()
        self._reconcile()
        status = await asyncio.shield(process.exited)
        if replica.state is State.READY:
            self._crashed(replica, process, status)

    @contextlib.asynccontextmanager
    async def _start_slot(self) -> AsyncIterator[None]:
        """Wait for a turn to start, and give it to the next when done or after a while.

        Starts at the same time slow each other down; one that hangs must not hold up the others.
        """
        await self._slots.acquire()
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._slots.release()

        timer = asyncio.get_running_loop().call_later(_SLOT_SECONDS, release)
        try:
            yield
        finally:
            timer.cancel()
            release()

    async def _bring_up(self, replica: Replica, version: Version) -> None:
        """Start the process and wait until it serves. Raises StartFailedError."""
        for attempt in range(3):
            try:
                replica.port = free_port()
                replica.process = start_process(self._command(replica, version), self.log)
            except OSError as error:
                raise StartFailedError(f"the process cannot be started: {error}") from error
            try:
                await self._until_serving(replica, replica.process, version)
                return
            except StartFailedError:
                # Another process may have taken the port between the choice and the bind.
                taken = any("in use" in line for line in replica.process.tail)
                if not taken or attempt == 2 or replica.state is not State.STARTING:
                    raise

    async def _until_serving(
        self, replica: Replica, process: ManagedProcess, version: Version
    ) -> None:
        deadline = time.monotonic() + self._settings.cold_start_timeout
        while True:
            if not process.alive:
                status = process.exited.result()
                if replica.state is not State.STARTING:
                    return
                raise StartFailedError(f"its process exited with status {status} while starting")
            if await _answers(replica.port, version.probe_path) and _owns(process, replica.port):
                replica.upstream = Upstream(LOOPBACK, replica.port)
                return
            if time.monotonic() > deadline:
                process.kill()
                await process.exited
                raise StartFailedError(
                    f"it did not serve within {self._settings.cold_start_timeout:g} s"
                )
            await asyncio.wait([process.exited], timeout=0.025)

    def _start_failed(self, replica: Replica, error: StartFailedError) -> None:
        retired = replica.state is not State.STARTING
        self._remove(replica)
        if retired or replica.generation != self._generation:
            return
        self._failed(_START_BACKOFF, str(error))
        logger.error(
            "%s: %s", replica.name, error, extra={"lastLines": _last_lines(replica.process)}
        )
        if not self._ready and not self._starting():
            self._wake_waiters(error)
        self._reconcile()

    def _crashed(self, replica: Replica, process: ManagedProcess, status: int) -> None:
        if time.monotonic() - replica.ready_at >= _STABLE_SECONDS:
            self._failures = 0
        self._remove(replica)
        self._failed(_CRASH_BACKOFF, f"a replica exited with status {status}")
        logger.error(
            "%s exited with status %d",
            replica.name,
            status,
            extra={"lastLines": _last_lines(process)},
        )
        self._reconcile()

    def _failed(self, backoff: Backoff, error: str) -> None:
        self.failed_replicas += 1
        self._failures += 1
        self.last_error = error
        self._not_before = time.monotonic() + backoff.delay(self._failures)

    def _retire(self, replica: Replica) -> None:
        if replica.state in {State.DRAINING, State.STOPPED}:
            return
        replica.state = State.DRAINING
        if replica in self._ready:
            self._ready.remove(replica)
        if replica.in_flight:
            replica.drained = asyncio.get_running_loop().create_future()
        self._spawn(self._wind_up(replica))

    async def _wind_up(self, replica: Replica) -> None:
        """Finish the requests in hand, then stop the process."""
        if replica.drained is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_timeout):
                    await replica.drained
        if replica.upstream is not None:
            replica.upstream.close()
        if replica.process is not None:
            await replica.process.stop(self._settings.term_timeout)
        self._remove(replica)

    def _remove(self, replica: Replica) -> None:
        replica.state = State.STOPPED
        if replica.upstream is not None:
            replica.upstream.close()
        for replicas in (self._ready, self.replicas):
            if replica in replicas:
                replicas.remove(replica)

    def _command(self, replica: Replica, version: Version) -> Command:
        settings, deployment = self._settings, version.deployment
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        env |= {"PYTHONUNBUFFERED": "1"} | deployment.env_vars | settings.function_env
        env |= {
            "FUNCTION_NAME": self.name,
            "FUNCTION_MODULE": version.code.module,
            "HOST": LOOPBACK,
            "PORT": str(replica.port),
            "PYTHONPATH": os.pathsep.join(map(str, version.code.python_path)),
            "SECRETS_DIR": str(_link_secrets(settings, deployment)),
        }
        return Command(
            args=[sys.executable, str(settings.root / _ENTRY)],
            env=env,
            cwd=settings.root,
            name=replica.name,
        )


def _link_secrets(settings: GatewaySettings, deployment: FunctionDeployment) -> Path:
    """Return a folder with links to the function's own secrets and to no others.

    Links, so that an updated secret is there for whoever reads the file again. It keeps mistakes
    away, not attackers: all functions run as one user.
    """
    folder = settings.state_dir.resolve() / "run" / deployment.service / "secrets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for link in folder.iterdir():
        if link.name not in deployment.secrets:
            link.unlink()
    for name in deployment.secrets:
        with contextlib.suppress(FileExistsError):
            (folder / name).symlink_to(settings.secrets_dir / name)
    return folder


def _last_lines(process: ManagedProcess | None) -> list[str]:
    return list(process.tail)[-10:] if process is not None else []


async def _answers(port: int, path: str | None) -> bool:
    """Tell whether a server answers there."""
    try:
        async with asyncio.timeout(5):
            if path is not None:
                await probe(LOOPBACK, port, path)
            else:
                (await Upstream(LOOPBACK, port).connect()).abort()
    except (ConnectFailedError, UpstreamError, TimeoutError):
        return False
    return True


def _owns(process: ManagedProcess, port: int) -> bool:
    """Tell whether the process or one of its children listens on the port.

    What answers could also be another program that was given the same port at the same time.
    """
    listens: Callable[[psutil.Process], bool] = lambda p: any(  # noqa: E731
        c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
        for c in p.net_connections("tcp")
    )
    try:
        parent = psutil.Process(process.pid)
        return listens(parent) or any(listens(child) for child in parent.children(recursive=True))
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False
