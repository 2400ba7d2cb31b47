"""One replica of a function: a process that serves HTTP."""

import asyncio
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

from infra.local import environment
from infra.local.errors import ReplicaStartError, UpstreamError
from infra.local.functions.version import Version
from infra.local.gateway.http1.upstream import Upstream, probe
from infra.local.gateway.settings import GatewaySettings
from infra.local.process.logfile import LogFile
from infra.local.process.process import Process, fork, fork_server, spawn
from infra.local.servers.ports import LOOPBACK, free_port

MAX_PORT_ATTEMPTS = 3
PROBE_INTERVAL = 0.025
PROBE_TIMEOUT = 5.0


class ReplicaState(Enum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(eq=False)
class Replica:
    """One process of a function.

    Attributes:
        name: unique on this machine.
        generation: the version of the function that it runs.
        state: where it is in its life.
        port: where its HTTP server listens.
        process: its process once started.
        upstream: the connections to it once it serves.
        in_flight: requests that it was picked for and that are not done.
        last_pick: when it was picked last, in picks of its function.
        drained: set when a draining replica has no request left.
        ready_at: when it became ready, on the monotonic clock.
    """

    name: str
    generation: int
    state: ReplicaState = ReplicaState.STARTING
    port: int = 0
    process: Process | None = None
    upstream: Upstream | None = None
    in_flight: int = 0
    last_pick: int = 0
    drained: "asyncio.Future[None] | None" = None
    ready_at: float = 0.0

    @property
    def address(self) -> str:
        """`host:port` of its HTTP server."""
        return f"{LOOPBACK}:{self.port}"

    def release(self) -> None:
        """Count a request that it was picked for as done."""
        self.in_flight -= 1
        if self.in_flight == 0 and self.drained is not None and not self.drained.done():
            self.drained.set_result(None)

    def last_lines(self) -> list[str]:
        """Return the end of its output, for log lines about its failure."""
        return self.process.last_lines(10) if self.process is not None else []


def prepare_starts(state_dir: Path) -> None:
    """Begin with what the start of a replica would wait for."""
    fork_server.start(environment.inherited(), str(state_dir.resolve()))


async def start_replica(
    replica: Replica, version: Version, settings: GatewaySettings, log: LogFile
) -> None:
    """Start the process of a replica and wait until it serves, or until it is retired.

    Raises:
        ReplicaStartError: it does not serve.
    """
    for attempt in range(1, MAX_PORT_ATTEMPTS + 1):
        try:
            replica.port = free_port()
            command = version.command(replica.name, replica.port, settings)
            # waits for the imports of the fork server, which began before a new process' would
            can_fork = await asyncio.to_thread(fork_server.can_fork, command.env or {})
            if replica.state is not ReplicaState.STARTING:
                return
            name = version.deployment.service
            process = fork(command, log, name) if can_fork else spawn(command, log)
            replica.process = process
        except OSError as error:
            raise ReplicaStartError(f"the process cannot be started: {error}") from error
        try:
            await _wait_until_serving(replica, process, version, settings)
            return
        except ReplicaStartError:
            # another process may have taken the port between the choice and the bind
            port_taken = any("in use" in line for line in process.last_lines(20))
            retired = replica.state is not ReplicaState.STARTING
            if not port_taken or attempt == MAX_PORT_ATTEMPTS or retired:
                raise


async def _wait_until_serving(
    replica: Replica, process: Process, version: Version, settings: GatewaySettings
) -> None:
    deadline = time.monotonic() + settings.cold_start_timeout
    while True:
        if not process.alive:
            if replica.state is not ReplicaState.STARTING:
                return
            status = process.exited.result()
            raise ReplicaStartError(f"its process exited with status {status} while starting")
        if await _responds(replica.port, version.probe_path) and _listens(process, replica.port):
            replica.upstream = Upstream(LOOPBACK, replica.port)
            return
        if time.monotonic() > deadline:
            process.kill()
            await process.wait()
            raise ReplicaStartError(f"it did not serve within {settings.cold_start_timeout:g} s")
        await asyncio.sleep(PROBE_INTERVAL)


async def _responds(port: int, path: str | None) -> bool:
    """Return whether a server responds on the port."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            if path is not None:
                await probe(LOOPBACK, port, path)
            else:
                (await Upstream(LOOPBACK, port).connect()).abort()
    except (UpstreamError, TimeoutError):
        return False
    return True


def _listens(process: Process, port: int) -> bool:
    """Return whether the process or one of its children listens on the port.

    What responds could also be another program that was given the same port at the same time.
    """
    try:
        parent = psutil.Process(process.pid)
        # the children last: finding them reads the whole process table
        return _has_listener(parent, port) or any(
            _has_listener(child, port) for child in parent.children(recursive=True)
        )
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def _has_listener(process: psutil.Process, port: int) -> bool:
    return any(
        connection.status == psutil.CONN_LISTEN
        and bool(connection.laddr)
        and connection.laddr.port == port
        for connection in process.net_connections("tcp")
    )
