"""Processes that are forked instead of started are as others, and end as others do."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from infra.local.process.fork_server import PRELOADED, ForkRequest, ForkServer
from tests.support.local_gateway import running_gateway
from tests.support.net import wait_until

ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    server.start(ENV, "tests")
    yield server
    server.close()


Run = Callable[..., tuple[int, Future[int]]]


@pytest.fixture
def run(server: ForkServer, tmp_path: Path) -> Run:
    def run(code: str, server: ForkServer = server, **env: str) -> tuple[int, Future[int]]:
        script = tmp_path / "script.py"
        script.write_text(code)
        assert server.can_fork(ENV | env)
        request = ForkRequest(
            "a-name", [str(script), "one"], ENV | env, str(tmp_path), signal.SIGTERM
        )
        with (tmp_path / "output").open("wb") as output:
            return server.fork(request, output.fileno())

    return run


def test_it_is_what_a_new_process_would_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("VALUE = 7")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "library.py").write_text("VALUE = 8")
    code = """
import json, os, sys, threading, time
import library, neighbour
assert __name__ == "__main__"
print(json.dumps({
    "argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd(), "values":
    [neighbour.VALUE, library.VALUE], "group": os.getpgid(0) == os.getpid(), "zone": time.tzname[0],
    "threads": threading.active_count(), "files": sorted(os.listdir("/proc/self/fd")),
    "name": open("/proc/self/comm").read().strip(), "file": __file__, "input": sys.stdin.read(),
}), flush=True)
print("to stderr", file=sys.stderr)
sys.exit(3)
"""
    env = {"OWN": "1", "PYTHONPATH": str(tmp_path / "lib"), "TZ": "Asia/Tokyo"}
    _, exited = run(code, **env)
    assert exited.result(30) == 3
    first, second = (tmp_path / "output").read_text().splitlines()
    described = json.loads(first)
    script = str(tmp_path / "script.py")
    # of the descriptors one is that of the folder that is being listed
    assert described == {
        "argv": [script, "one"],
        "env": ENV | env,
        "cwd": str(tmp_path),
        "values": [7, 8],
        "group": True,
        "zone": "JST",
        "threads": 1,
        "files": ["0", "1", "2", "3"],
        "name": "a-name",
        "file": script,
        "input": "",
    }
    assert second == "to stderr"


def test_a_module_is_run_as_python_runs_one(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import sys; print(__name__, __spec__.name, sys.argv[1:])")
    arguments = ["-m", "module", "one", "two"]
    request = ForkRequest("a-name", arguments, ENV, str(tmp_path), signal.SIGTERM)
    with (tmp_path / "output").open("wb") as output:
        _, exited = server.fork(request, output.fileno())
    assert exited.result(30) == 0
    assert (tmp_path / "output").read_text() == "__main__ module ['one', 'two']\n"


def test_an_error_is_told_and_ends_it_with_status_1(run: Run, tmp_path: Path) -> None:
    _, exited = run("raise RuntimeError('no luck')")
    assert exited.result(30) == 1
    assert "RuntimeError: no luck" in (tmp_path / "output").read_text()


def test_what_it_leaves_of_its_group_is_killed(run: Run, tmp_path: Path) -> None:
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""
    _, exited = run(code)
    assert exited.result(30) == 0
    child = int((tmp_path / "output").read_text())
    wait_until(lambda: not psutil.pid_exists(child) or is_zombie(child), 30)


def is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_signal_is_its_exit_status(run: Run) -> None:
    pid, exited = run("import time; time.sleep(600)")
    os.kill(pid, signal.SIGKILL)
    assert exited.result(30) == -signal.SIGKILL


def test_code_is_loaded_anew_in_each(run: Run, tmp_path: Path) -> None:
    for version in ("old", "new"):
        _, exited = run(f"print({version!r})")
        assert exited.result(30) == 0
        assert (tmp_path / "output").read_text() == version + "\n"


def test_its_end_ends_them_and_it_can_be_started_again(run: Run) -> None:
    server = ForkServer()
    server.start(ENV, "tests")
    try:
        pid, exited = run("import time; time.sleep(600)", server)
        parent = psutil.Process(pid).parent()
        assert parent is not None
        parent.kill()
        assert exited.result(30) == -signal.SIGTERM
        assert not server.can_fork(ENV)
        server.start(ENV, "tests")
        _, exited = run("pass", server)
        assert exited.result(30) == 0
    finally:
        server.close()


def test_variables_that_python_reads_at_its_start_need_a_new_process(server: ForkServer) -> None:
    for name in ("PYTHONDEVMODE", "LD_PRELOAD", "MALLOC_ARENA_MAX", "LC_ALL"):
        assert not server.can_fork(ENV | {name: "1"}), name
    assert server.can_fork(ENV | {"PYTHONPATH": "/x", "PYTHONUNBUFFERED": "1", "OWN": "1"})


def test_what_is_imported_before_is_what_functions_need() -> None:
    """A name that is gone would be passed over in silence, and only make starts slow again."""
    code = f"import importlib; [importlib.import_module(name) for name in {PRELOADED!r}]"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_replica_is_a_fork_and_with_a_variable_for_python_it_is_none(
    tmp_path: Path,
) -> None:
    async with running_gateway(tmp_path) as gateway:
        parents = {}
        for name, variables in (("forked", {}), ("started", {"PYTHONDEVMODE": "1"})):
            await gateway.deploy(name, envVars=variables)
            described = await gateway.call(f"{name}/")
            parents[name] = psutil.Process(described["master"]).ppid()
        assert parents["started"] == os.getpid()
        assert "fork_server" in " ".join(psutil.Process(parents["forked"]).cmdline())
