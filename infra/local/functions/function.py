"""One deployed function: decides which replicas there shall be, and picks one for a request."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine
from datetime import UTC, datetime
from typing import Any

from functions.common.backoff import Backoff
from infra.local.errors import NoReplicaError, ReplicaStartError
from infra.local.functions.invocations import Invocations
from infra.local.functions.replica import Replica, ReplicaState, start_replica
from infra.local.functions.scaling import ScaleEvents
from infra.local.functions.version import Version
from infra.local.gateway.settings import GatewaySettings
from infra.local.process.logfile import LogFile

logger = logging.getLogger(__name__)

START_BACKOFF = Backoff.exponential(0.5, 30.0, jitter=0.0)
CRASH_BACKOFF = Backoff.exponential(0.05, 2.0, jitter=0.0)
MAX_RESTART_WAIT = 2.5
"""Requests wait for a restart that is at most so many seconds away, and are refused otherwise."""
STABLE_SECONDS = 10.0
"""A replica that was ready for so long resets the backoff."""
MAX_START_SLOT_SECONDS = 5.0
"""A start that takes longer lets the next one begin."""


class Function:
    """A deployed function: starts, picks, replaces and stops its replicas.

    All methods are called from the event loop. After every change `_reconcile` starts or retires
    replicas until `desired_replicas` of the newest version run.
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
        self.desired_replicas = 0
        self.waiting = 0
        self.failed_replicas = 0
        self.started_replicas = 0
        self.start_seconds = 0.0
        self.last_error = ""
        self.stream_slots = asyncio.Semaphore(settings.max_streamed_bodies)
        self.replicas: list[Replica] = []
        self._settings = settings
        self._start_slots = start_slots
        self._events = events
        self._ready: list[Replica] = []
        self._generation = 0
        self._picks = 0
        self._failures = 0
        self._next_start_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.last_active = time.monotonic()

    # Requests

    @property
    def available(self) -> int:
        """The number of replicas that take requests."""
        return len(self._ready)

    @property
    def ready(self) -> list[Replica]:
        """The replicas that take requests."""
        return list(self._ready)

    def count(self, started: float, status: int) -> None:
        """Count an invocation that is over.

        Args:
            started: when it began, on the monotonic clock.
            status: of its response.
        """
        self.last_active = now = time.monotonic()
        self.invocations.end(status, now - started)

    def next_replica(self) -> Replica | None:
        """Return the ready replica with the fewest requests in flight.

        Among equals it is the one that was not picked for the longest time.
        """
        best: Replica | None = None
        for replica in self._ready:
            if (
                best is None
                or replica.in_flight < best.in_flight
                or (replica.in_flight == best.in_flight and replica.last_pick < best.last_pick)
            ):
                best = replica
        return best

    def take(self, replica: Replica) -> None:
        """Count one more request to a ready replica; the caller must `release` it."""
        self._picks += 1
        replica.last_pick = self._picks
        replica.in_flight += 1

    def pick(self) -> Replica | None:
        """Return the next replica, taken; the caller must `release` it."""
        replica = self.next_replica()
        if replica is not None:
            self.take(replica)
        return replica

    async def wait_and_pick(self) -> Replica:
        """Scale up from zero if needed, wait for a ready replica and pick it.

        Raises:
            NoReplicaError: no replica becomes ready soon.
        """
        deadline = time.monotonic() + self._settings.cold_start_timeout
        self.waiting += 1
        try:
            while True:
                self.last_active = time.monotonic()
                if self._closed:
                    raise NoReplicaError(503, f"function {self.name} is being removed", 1)
                if self.desired_replicas == 0:
                    self._set_desired(max(1, self.version.scale_rule.min_replicas), "request")
                replica = self.pick()
                if replica is not None:
                    return replica
                backoff = self._next_start_at - time.monotonic()
                if backoff > MAX_RESTART_WAIT and not self._any_starting():
                    raise NoReplicaError(
                        503,
                        f"function {self.name} keeps failing ({self.last_error}); "
                        f"its next start is in {backoff:.0f} s",
                        backoff,
                    )
                await self._wait_for_change(deadline)
        finally:
            self.waiting -= 1
            self.last_active = time.monotonic()

    async def _wait_for_change(self, deadline: float) -> None:
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
        except ReplicaStartError as error:
            wait = max(1.0, self._next_start_at - time.monotonic())
            raise NoReplicaError(503, f"function {self.name}: {error}", wait) from None
        finally:
            self._waiters.discard(waiter)

    def _notify_waiters(self, error: Exception | None = None) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)

    # Desired state

    def start(self) -> None:
        """Start the replicas of a new deployment."""
        rule = self.version.scale_rule
        self._set_desired(rule.clamp(max(self.desired_replicas, rule.min_replicas)), "deploy")

    def update(self, version: Version) -> None:
        """Replace the replicas; the old ones are retired when new ones are ready."""
        self.version = version
        self._generation += 1
        self._failures = 0
        self._next_start_at = 0.0
        self.last_active = time.monotonic()
        for replica in self.replicas:
            if replica.state is ReplicaState.STARTING:
                self._retire(replica)
        self.start()
        self._reconcile()

    def scale(self, replicas: int, reason: str = "api") -> int:
        """Set the number of replicas, within the bounds of the labels; return what was set."""
        self.last_active = time.monotonic()
        self._set_desired(self.version.scale_rule.clamp(replicas), reason)
        if self.desired_replicas == 0:
            self._notify_waiters()  # requests that wait for a replica scale up again
        return self.desired_replicas

    def scale_to_zero_if_idle(self) -> None:
        """Scale to zero if there was no request for the configured time."""
        after = self.version.scale_rule.zero_duration
        if (
            after is not None
            and self.desired_replicas > 0
            and self.invocations.in_flight == 0
            and self.waiting == 0
            and time.monotonic() - self.last_active >= after
        ):
            self._set_desired(0, "idle")

    async def close(self) -> None:
        """Refuse new requests, finish those in flight and stop all replicas."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.desired_replicas = 0
        for replica in list(self.replicas):
            self._retire(replica)
        self._notify_waiters()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _set_desired(self, replicas: int, reason: str) -> None:
        if replicas != self.desired_replicas:
            self._events.add(self.name, self.desired_replicas, replicas, reason)
            logger.info(
                "%s: %d -> %d replicas (%s)", self.name, self.desired_replicas, replicas, reason
            )
            self.desired_replicas = replicas
            self._reconcile()

    def _current(self, *states: ReplicaState) -> list[Replica]:
        return [r for r in self.replicas if r.generation == self._generation and r.state in states]

    def _any_starting(self) -> bool:
        return any(replica.state is ReplicaState.STARTING for replica in self.replicas)

    def _reconcile(self) -> None:
        """Start or retire replicas until there are as many as desired."""
        if self._closed:
            return
        current = self._current(ReplicaState.STARTING, ReplicaState.READY)
        missing = self.desired_replicas - len(current)
        if missing > 0:
            wait = self._next_start_at - time.monotonic()
            if wait > 0:
                self._reconcile_later(wait)
            else:
                for _ in range(missing):
                    self._create_task(self._run_replica(self._new_replica()))
        elif missing < 0:
            current.sort(key=lambda r: (r.state is ReplicaState.READY, r.in_flight, -r.ready_at))
            for replica in current[:-missing]:
                self._retire(replica)
        if len(self._current(ReplicaState.READY)) >= self.desired_replicas:
            for replica in list(self.replicas):
                if replica.generation != self._generation:
                    self._retire(replica)

    def _reconcile_later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._reconcile)

    # The life of a replica

    def _new_replica(self) -> Replica:
        replica = Replica(f"{self.name}-{secrets.token_hex(3)}", self._generation)
        self.replicas.append(replica)
        return replica

    def _create_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_replica(self, replica: Replica) -> None:
        requested_at = time.monotonic()
        version = self.version
        try:
            async with self._start_slot():
                if replica.state is ReplicaState.STARTING:
                    await start_replica(replica, version, self._settings, self.log)
        except ReplicaStartError as error:
            self._handle_start_failure(replica, error)
            return
        process = replica.process
        if process is None or replica.state is not ReplicaState.STARTING:
            return  # retired before it was ready
        replica.state = ReplicaState.READY
        replica.ready_at = time.monotonic()
        self.started_replicas += 1
        self.start_seconds += replica.ready_at - requested_at
        self._ready.append(replica)
        self._notify_waiters()
        self._reconcile()
        status = await process.wait()
        if replica.state is ReplicaState.READY:
            self._handle_crash(replica, status)

    @contextlib.asynccontextmanager
    async def _start_slot(self) -> AsyncGenerator[None]:
        """Limit the starts at a time; a start frees its slot when it is done or takes long.

        Concurrent starts slow each other down, and one that hangs must not block the others.
        """
        await self._start_slots.acquire()
        holds_slot = True

        def release() -> None:
            nonlocal holds_slot
            if holds_slot:
                holds_slot = False
                self._start_slots.release()

        timer = asyncio.get_running_loop().call_later(MAX_START_SLOT_SECONDS, release)
        try:
            yield
        finally:
            timer.cancel()
            release()

    def _handle_start_failure(self, replica: Replica, error: ReplicaStartError) -> None:
        retired = replica.state is not ReplicaState.STARTING
        self._remove(replica)
        if retired or replica.generation != self._generation:
            return
        self._record_failure(START_BACKOFF, str(error))
        logger.error("%s: %s", replica.name, error, extra={"lastLines": replica.last_lines()})
        if not self._ready and not self._any_starting():
            self._notify_waiters(error)
        self._reconcile()

    def _handle_crash(self, replica: Replica, status: int) -> None:
        if time.monotonic() - replica.ready_at >= STABLE_SECONDS:
            self._failures = 0
        self._remove(replica)
        self._record_failure(CRASH_BACKOFF, f"a replica exited with status {status}")
        logger.error(
            "%s exited with status %d",
            replica.name,
            status,
            extra={"lastLines": replica.last_lines()},
        )
        self._reconcile()

    def _record_failure(self, backoff: Backoff, error: str) -> None:
        self.failed_replicas += 1
        self._failures += 1
        self.last_error = error
        self._next_start_at = time.monotonic() + backoff.delay(self._failures)

    def _retire(self, replica: Replica) -> None:
        if replica.state in {ReplicaState.DRAINING, ReplicaState.STOPPED}:
            return
        replica.state = ReplicaState.DRAINING
        if replica in self._ready:
            self._ready.remove(replica)
        if replica.in_flight:
            replica.drained = asyncio.get_running_loop().create_future()
        self._create_task(self._drain_and_stop(replica))

    async def _drain_and_stop(self, replica: Replica) -> None:
        """Finish the requests in flight, then stop the process."""
        if replica.drained is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_timeout):
                    await replica.drained
        if replica.upstream is not None:
            replica.upstream.close()
        if replica.process is not None:
            await replica.process.stop()
        self._remove(replica)

    def _remove(self, replica: Replica) -> None:
        replica.state = ReplicaState.STOPPED
        if replica.upstream is not None:
            replica.upstream.close()
        for replicas in (self._ready, self.replicas):
            if replica in replicas:
                replicas.remove(replica)
