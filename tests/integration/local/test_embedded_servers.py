"""Embedded servers that start while those of a killed platform are still stopping."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.local.errors import PlatformError
from infra.local.process.stale_process import wait_until_gone
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import EmbeddedPostgres

SECONDS = 1.0


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_postgres_waits_for_one_that_is_still_stopping(postgres_server: EmbeddedPostgres) -> None:
    pid = postgres_server.pid
    assert pid is not None
    # asked to stop in this way it lets clients finish
    client = psycopg.connect(postgres_server.url(database="postgres"))
    os.kill(pid, signal.SIGTERM)
    again = EmbeddedPostgres(postgres_server.folder)
    leave = threading.Timer(SECONDS, client.close)
    leave.start()
    try:
        again.start()
        assert not runs(pid)
        assert again.port == postgres_server.port
        psycopg.connect(again.url(database="postgres")).close()
    finally:
        leave.join()
        again.stop()


def test_nats_waits_for_one_that_is_still_stopping(nats_server: EmbeddedNats) -> None:
    pid = nats_server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGTERM)
    again = EmbeddedNats(nats_server.folder)
    go_on = threading.Timer(SECONDS, os.kill, (pid, signal.SIGCONT))
    go_on.start()
    try:
        again.start()
        assert not runs(pid)
        assert again.port == nats_server.port
    finally:
        go_on.join()
        again.stop()


def test_a_server_that_stays_is_told(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        pid_file.write_text(f"{process.pid}\nmore\n")
        with pytest.raises(PlatformError, match=rf"\(process {process.pid}\) still uses"):
            wait_until_gone("server", pid_file, lambda _: True, timeout=0.2)
        process.kill()


def test_a_process_that_only_has_the_number_is_not_waited_for(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    for text in (f"{os.getpid()}\n", "", "no number", "-1", "4999999"):
        pid_file.write_text(text)
        assert not wait_until_gone("server", pid_file, lambda _: False)
    assert not wait_until_gone("server", tmp_path / "none", lambda _: True)
