"""Judges alerts: a thread that starts the program for it whenever something is due."""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg

from functions.common.logs import first_line
from functions.common.paths import ROOT
from infra.local import environment
from infra.local.functions.secrets import link_secrets
from infra.local.process.process import Command, Process, spawn

logger = logging.getLogger(__name__)

MODULE = "functions.analytics_query.alerts"
SECRETS = ("database-reader-url", "alerts-signing-key", "smtp-password")
INTERVAL_SECONDS = 15.0
RUN_SECONDS = 300.0
"""So long a run may take."""
MAX_LOG_BYTES = 1024**2
DUE = (
    "SELECT EXISTS (SELECT FROM workspace.alerts WHERE next_at <= now())"
    " OR EXISTS (SELECT FROM workspace.alert_messages_in_order WHERE next_at <= now())"
)


def start(
    folder: Path,
    database_url: str,
    variables: Mapping[str, str],
    interval: float = INTERVAL_SECONDS,
) -> Callable[[], None]:
    """Start it in a thread of its own, which does not outlive the process.

    While nothing is due, a statement is all that it costs, and no process runs.

    Args:
        folder: the state folder.
        database_url: the database, as the role universe_reader.
        variables: settings of the program, besides its secrets.
        interval: seconds between two looks.

    Returns:
        A function that stops it, and ends a run: what that has not done, the next one does.
    """
    stopped = threading.Event()
    running: list[Process] = []

    def rounds() -> None:
        while not stopped.wait(interval):
            try:
                if something_is_due(database_url):
                    running[:] = [_spawn(folder, variables)]
                    _wait(running[0], stopped)
            except (psycopg.Error, OSError) as error:
                if not stopped.is_set():
                    logger.warning("alerts are not judged now: %s", first_line(error))

    def stop() -> None:
        stopped.set()
        for process in list(running):
            process.stop_blocking()

    threading.Thread(target=rounds, name="alerts", daemon=True).start()
    return stop


def something_is_due(database_url: str) -> bool:
    """Return whether an alert is to be judged, or a message to be sent, by now."""
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        [(due,)] = connection.execute(DUE).fetchall()
        return bool(due)


def _spawn(folder: Path, variables: Mapping[str, str]) -> Process:
    linked = link_secrets(folder / "secrets", folder / "run" / "_alerts" / "secrets", SECRETS)
    given = environment.inherited() | dict(variables) | {"SECRETS_DIR": str(linked)}
    log = folder / "logs" / "alerts.log"
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))
    command = [sys.executable, "-m", MODULE, "check"]
    return spawn(Command("alerts", command, given, ROOT, stop_timeout=5.0), log)


def _wait(process: Process, stopped: threading.Event) -> None:
    try:
        status = process.exited.result(RUN_SECONDS)
    except TimeoutError:
        process.kill()
        status = process.exited.result()
    if status and not stopped.is_set():
        said = " ".join(process.last_lines(1))
        logger.warning("alerts are not judged now (status %d): %s", status, said)
