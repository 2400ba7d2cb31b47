"""A test run that is killed leaves no process behind."""

import subprocess
import sys

import psutil

from functions.common.paths import ROOT
from tests.support.net import wait_until

RUN = """
import sys
from tests.support.tied_process import TiedProcess
print(TiedProcess([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
input()
"""


def runs(pid: int) -> bool:
    """Return whether the process runs: what has ended and was not waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_run_leaves_no_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        pid = int(run.stdout.readline())
        assert runs(pid)
        run.kill()
    wait_until(lambda: not runs(pid), 30)
