"""Sends the messages that wait, several at a time: a server that hangs holds up no other's."""

import logging
import queue
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from functions.common.backoff import Backoff
from functions.common.errors import UniverseError

from .. import database
from ..database import Row, execute, run
from ..formatting import format_time
from ..query.statements import Statements
from ..settings import AlertsSettings
from .check import MAIL
from .errors import SendError
from .mail import send_mail
from .message import Message, of_test
from .rule import shown_webhook
from .webhook import post

logger = logging.getLogger(__name__)

SQL = Statements("alerts.sql")
AT_A_TIME = 16
BACKOFF = Backoff.exponential(60.0, 1800.0)
_MESSAGE = TypeAdapter(Message)


@dataclass(frozen=True)
class Sent:
    """What came of one message; `error` is None where it was sent."""

    name: str
    recipient: str
    error: str | None


def deliver(options: AlertsSettings) -> Iterator[Sent]:
    """Send the messages that are due.

    Each is sent once, but where this process ends before it could write down that it was: then it
    is sent again, as a message of the same id.

    Raises:
        DatabaseUnavailableError: the database is away.
    """
    limit = 3 * options.alerts_timeout
    while True:
        now = datetime.now(UTC)
        until = now + timedelta(seconds=2 * limit)
        with database.writing() as connection:
            claim = {"now": now, "until": until, "most": AT_A_TIME}
            rows = execute(connection, SQL["claim_messages"], **claim).fetchall()
        if not rows:
            return
        for row, error in _send_all(options, rows, limit):
            yield _settle(options, row, error)


def _send_all(
    options: AlertsSettings, rows: list[Row], limit: float
) -> Iterator[tuple[Row, SendError | None]]:
    """Yield messages as they are sent, or not, within a number of seconds."""
    done: queue.SimpleQueue[tuple[str, SendError | None]] = queue.SimpleQueue()

    def send(row: Row) -> None:
        error: SendError | None = None
        try:
            _send(options, row)
        except SendError as refused:
            error = refused
        except Exception as unforeseen:
            logger.exception("message %s cannot be sent", row["id"])
            error = SendError(f"it cannot be sent: {type(unforeseen).__name__}")
        done.put((row["id"], error))

    for row in rows:
        # one that never comes back does not keep the process from its end
        threading.Thread(target=send, args=(row,), daemon=True).start()
    waiting = {row["id"]: row for row in rows}
    end = datetime.now(UTC) + timedelta(seconds=limit)
    while waiting:
        try:
            left = (end - datetime.now(UTC)).total_seconds()
            id_, error = done.get(timeout=max(left, 0.0))
        except queue.Empty:
            break
        yield waiting.pop(id_), error
    for row in waiting.values():
        yield row, SendError(f"no answer within {limit:g} s")


def _send(options: AlertsSettings, row: Row) -> None:
    message = _message(row, options.public_url)
    recipient: str = row["recipient"]
    if recipient.startswith(MAIL):
        send_mail(options, recipient.removeprefix(MAIL), message, row["id"])
        return
    about: dict[str, object] = {
        "id": row["id"],
        "alert": {"id": row["alert_id"], "name": row["name"]},
        "time": format_time(row["made_at"]),
    }
    post(options, recipient, message, about)


def _message(row: Row, page: str) -> Message:
    stored: Any = row["message"]
    return (
        of_test(row["name"], page) if stored["kind"] == "test" else _MESSAGE.validate_python(stored)
    )


def _settle(options: AlertsSettings, row: Row, error: SendError | None) -> Sent:
    """Write down what came of a message."""
    recipient: str = row["recipient"]
    mail = recipient.startswith(MAIL)
    shown = recipient.removeprefix(MAIL) if mail else shown_webhook(recipient)
    now = datetime.now(UTC)
    about = {"id": row["alert_id"], "recipient": recipient}
    with database.writing() as connection:
        if error is None:
            run(connection, SQL["delete_message"], id=row["id"])
            run(connection, SQL["note_sent"], **about, now=now)
            return Sent(row["name"], shown, None)
        lost = error.for_good or row["attempts"] >= options.alerts_attempts
        text = f"{shown}: {error}{'; given up' if lost else ''}"
        run(connection, SQL["note_not_sent"], **about, error=text)
        if lost:
            run(connection, SQL["delete_message"], id=row["id"])
        else:
            wait = timedelta(seconds=BACKOFF.delay(row["attempts"], random.random()))  # noqa: S311
            run(connection, SQL["put_message_off"], id=row["id"], next_at=now + wait)
    return Sent(row["name"], shown, text)


def try_out(name: str) -> None:
    """Let an alert send a test.

    Raises:
        UniverseError: there is none of this name.
    """
    with database.writing() as connection:
        row = run(connection, SQL["alert_named"], name=name)
        if row is None:
            raise UniverseError(f"there is no alert {name!r}")
        run(connection, SQL["add_test_messages"], id=row["id"])
