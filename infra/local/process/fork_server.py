"""Starts replicas of functions in a tenth of the time: forks a process that has done their imports.

Most of a function's start is the import of web frameworks and database clients, the same for every
one. The platform starts this file as a process of its own, which imports them once and then forks
for each replica; an idle function still costs no process. The code of functions is imported in the
fork, so that a new replica runs what is in its folder now.

Where it does not exist (other systems than Linux), has ended, or where a variable must be there
when Python starts, the replica is a new process as any other.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path

PRELOADED = (
    "aiosql",
    "flask",
    "functions_framework._http",
    "functions_framework.aio",
    "gunicorn.app.base",
    "gunicorn.workers.gthread",
    "jinja2",
    "msgspec",
    "nats",
    "orjson",
    "prometheus_client",
    "psycopg",
    "psycopg_pool",
    "pydantic_settings",
    "pythonjsonlogger.json",
    "starlette.requests",
    "uvicorn.middleware.proxy_headers",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn_worker",
    "uvloop",
)
"""What the start of a function imports of others' packages, as far as they are installed."""
START_TIMEOUT = 30.0
REPLY_TIMEOUT = 10.0
MAX_MESSAGE = 1 << 20
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
_READ_AT_START = ("PYTHON", "LD_", "MALLOC_", "OPENSSL_", "LANG", "LC_")
"""How variables begin that are read when Python starts."""
_SET_FOR_ALL = {"PYTHONUNBUFFERED", "PYTHONPATH"}


@dataclass(frozen=True)
class ForkRequest:
    """A Python program to run in a fork.

    Attributes:
        name: what the kernel calls the process, for `ps` and `top`.
        arguments: those of the interpreter: a script or `-m` and a module, and what it is given.
        env: its whole environment.
        cwd: its working directory.
        death_signal: what it gets when the fork server ends.
    """

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    death_signal: int


class ForkServer:
    """The platform's side. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._env: Mapping[str, str] = {}
        self._ready = threading.Event()
        self._exits: dict[int, Future[int]] = {}
        self._early: dict[int, int] = {}
        self._reply: dict[str, int | str] | None = None
        self._replied = threading.Condition()

    def start(self, env: Mapping[str, str], label: str) -> None:
        """Start it, unless it runs or cannot run here; it is ready some time later.

        Args:
            env: its environment.
            label: an argument that tells it from those of others in a list of processes.
        """
        if not hasattr(os, "pidfd_open"):
            return
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._env, self._ready = dict(env), threading.Event()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-u", __file__, str(theirs.fileno()), label],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=self._env,
                    cwd="/",
                    start_new_session=True,
                )
            self._control = ours
            threading.Thread(
                target=self._receive, args=(ours, self._ready), name="fork-server", daemon=True
            ).start()

    def can_fork(self, env: Mapping[str, str]) -> bool:
        """Return whether a process with this environment may be a fork.

        It waits for the imports: they have begun earlier than those of a new process would.
        """
        for name in env.keys() | self._env.keys():
            if name.startswith(_READ_AT_START) and name not in _SET_FOR_ALL:  # noqa: SIM102
                if env.get(name) != self._env.get(name):
                    return False
        process = self._process
        return process is not None and self._ready.wait(START_TIMEOUT) and process.poll() is None

    def fork(self, request: ForkRequest, stdout: int) -> tuple[int, Future[int]]:
        """Start a process, in a group of its own.

        Args:
            request: what to run.
            stdout: takes its output and its errors.

        Returns:
            Its id, and its exit status (negative: the signal that ended it) for when it has ended
            and what it left of its group is killed.

        Raises:
            OSError: it cannot be started.
        """
        message = json.dumps(asdict(request)).encode()
        with self._lock:
            control = self._control
            if control is None:
                raise OSError("the fork server does not run")
            with self._replied:
                self._reply = None
                socket.send_fds(control, [message], [stdout])
                if not self._replied.wait_for(lambda: self._reply is not None, REPLY_TIMEOUT):
                    raise OSError("the fork server does not answer")
                reply: dict[str, int | str] = self._reply or {}
            if "pid" not in reply:
                raise OSError(str(reply.get("error", "the fork server has ended")))
        pid = int(reply["pid"])
        exited: Future[int] = Future()
        with self._replied:
            if pid in self._early:
                exited.set_result(self._early.pop(pid))
            else:
                self._exits[pid] = exited
        return pid, exited

    def close(self) -> None:
        """End it. Processes that it has forked and that still run get their death signal."""
        with self._lock:
            process, self._process = self._process, None
            control, self._control = self._control, None
        if control is not None:
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
        if process is not None:
            process.terminate()  # it may be busy with its imports
            process.wait()

    def _receive(self, control: socket.socket, ready: threading.Event) -> None:
        with control:
            while data := _receive_message(control):
                message = json.loads(data)
                if "ready" in message:
                    ready.set()
                elif "exited" in message:
                    self._ended(message["exited"], message["status"])
                else:
                    self._answer(message)
        ready.set()  # for those who wait: `can_fork` tells them that it has ended
        self._answer({"error": "the fork server has ended"})
        for pid in list(self._exits):  # they have got their death signal
            _wait_for(pid)
            self._ended(pid, -signal.SIGTERM)

    def _answer(self, message: dict[str, int | str]) -> None:
        with self._replied:
            self._reply = message
            self._replied.notify_all()

    def _ended(self, pid: int, status: int) -> None:
        with self._replied:
            exited = self._exits.pop(pid, None)
            if exited is None:  # before `fork` has returned
                self._early[pid] = status
        if exited is not None:
            exited.set_result(status)


def _receive_message(control: socket.socket) -> bytes:
    try:
        return control.recv(MAX_MESSAGE)
    except OSError:
        return b""


def _wait_for(pid: int) -> None:
    """Wait until a process that is not a child of this one has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll()
    finally:
        os.close(pidfd)


def main(control: socket.socket) -> ForkRequest:
    """Serve requests; return one in each forked process, and never in this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    platform = os.getppid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each collection in a fork copies the pages of what it looks at
    if os.getppid() != platform:
        sys.exit()
    _tell(control, ready=True)
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    request = _take(control, selector)
                    if request is not None:
                        return request
                else:
                    _reap(key.fd, key.data, control, selector)


def _take(control: socket.socket, selector: selectors.BaseSelector) -> ForkRequest | None:
    """Take a request and fork; return it in the new process, None in this one."""
    data, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE, 1)
    if not data:
        sys.exit()
    [output] = descriptors
    request = ForkRequest(**json.loads(data))
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(output)
        _tell(control, error=str(error))
        return None
    if pid == 0:
        for key in list(selector.get_map().values()):
            if key.fileobj is not control:
                os.close(key.fd)
        selector.close()
        _become(request, output, server)
        return request
    os.close(output)
    # not reaped before `_reap` does it, so that the id cannot be another's
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
    _tell(control, pid=pid)
    return None


def _become(request: ForkRequest, output: int, server: int) -> None:
    """Make this process what a new one would be."""
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, request.death_signal)
    if os.getppid() != server:  # it ended before the call
        os.kill(os.getpid(), request.death_signal)
    _prctl(PR_SET_NAME, request.name.encode()[:15])
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    os.chdir(request.cwd)
    folders = request.env.get("PYTHONPATH", "").split(os.pathsep)
    program = request.arguments[0]
    own = request.cwd if program == "-m" else str(Path(program).parent)
    sys.path[:0] = [own, *filter(None, folders)]


def _reap(pidfd: int, pid: int, control: socket.socket, selector: selectors.BaseSelector) -> None:
    selector.unregister(pidfd)
    os.close(pidfd)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    _tell(control, exited=pid, status=os.waitstatus_to_exitcode(status))


def _tell(control: socket.socket, **message: int | str) -> None:
    """Send a message to the platform; end with it where it is gone."""
    try:
        control.send(json.dumps(message).encode())
    except OSError:
        sys.exit()


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _run(arguments: Sequence[str]) -> None:
    with socket.socket(fileno=int(arguments[1])) as control:
        request = main(control)
    if request.arguments[0] == "-m":
        sys.argv = list(request.arguments[1:])
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(request.arguments)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _run(sys.argv)
