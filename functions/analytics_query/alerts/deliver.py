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
    """What came of one message.

    Attributes:
        name: of the alert.
        recipient: as it may be shown.
        error: why it was not sent; None: it was.
        again: when it is tried again, if it is.
    """

    name: str
    recipient: str
    error: str | None = None
    again: datetime | None = None


@dataclass(frozen=True)
class Waiting:
    """Messages of an alert to one recipient that could not be sent yet.

    Attributes:
        recipient: as it may be shown.
        messages: how many.
        since: when the first of them was made.
        next_at: when that is tried again.
        error: why it was not sent; None: nobody has tried.
    """

    recipient: str
    messages: int
    since: datetime
    next_at: datetime
    error: str | None


def deliver(options: AlertsSettings) -> Iterator[Sent]:
    """Send the messages that are due.

    Each is sent once, but where this process ends before it could write down that it was: then it
    is sent again, as a message of the same id.

    Raises:
        DatabaseUnavailableError: the database is away.
    """
    while True:
        now = datetime.now(UTC)
        with database.writing() as connection:
            claim = {"now": now, "until": _lease(options, now), "most": AT_A_TIME}
            rows = execute(connection, SQL["claim_messages"], **claim).fetchall()
        if not rows:
            return
        yield from _deliver(options, rows)


def _lease(options: AlertsSettings, now: datetime) -> datetime:
    """Return until when messages are with the process that sends them."""
    return now + timedelta(seconds=2 * _limit(options))


def _limit(options: AlertsSettings) -> float:
    """Return how many seconds sending may take."""
    return 3 * options.alerts_timeout


def _deliver(options: AlertsSettings, rows: list[Row]) -> Iterator[Sent]:
    for row, error in _send_all(options, rows):
        yield _settle(options, row, error)


def _send_all(options: AlertsSettings, rows: list[Row]) -> Iterator[tuple[Row, SendError | None]]:
    """Yield messages as they are sent, or not, in time."""
    limit = _limit(options)
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
    shown = _shown(row["recipient"])
    channel = "email" if row["recipient"].startswith(MAIL) else "webhook"
    now = datetime.now(UTC)
    about = {"id": row["alert_id"], "recipient": row["recipient"]}
    text = again = None
    outcome = "sent"
    with database.writing() as connection:
        if error is None:
            run(connection, SQL["note_sent"], **about, now=now)
        else:
            lost = error.for_good or row["attempts"] >= options.alerts_attempts
            outcome = "lost" if lost else "failed"
            text = f"{shown}: {error}{'; given up' if lost else ''}"
            run(connection, SQL["note_not_sent"], **about, message=row["id"], error=text)
        if outcome == "failed":
            again = now + timedelta(seconds=BACKOFF.delay(row["attempts"], random.random()))  # noqa: S311
            run(connection, SQL["put_message_off"], id=row["id"], next_at=again)
        else:
            run(connection, SQL["delete_message"], id=row["id"])
        run(connection, SQL["count_attempt"], channel=channel, outcome=outcome)
    return Sent(row["name"], shown, text, again)


def _shown(recipient: str) -> str:
    if recipient.startswith(MAIL):
        return recipient.removeprefix(MAIL)
    return shown_webhook(recipient)


def try_out(options: AlertsSettings, name: str) -> Iterator[Waiting | Sent]:
    """Send a test of an alert now, also where earlier messages wait, which are yielded first.

    What cannot be sent waits and is tried again as others are.

    Raises:
        UniverseError: there is no alert of this name.
        DatabaseUnavailableError: the database is away.
    """
    now = datetime.now(UTC)
    with database.writing() as connection:
        found = run(connection, SQL["alert_named"], name=name)
        if found is None:
            raise UniverseError(f"there is no alert {name!r}")
        earlier = execute(connection, SQL["waiting_messages"], id=found["id"]).fetchall()
        params = {"id": found["id"], "attempts": 1, "next_at": _lease(options, now)}
        made = execute(connection, SQL["add_test_messages"], **params).fetchall()
    for row in earlier:
        shown = _shown(row["recipient"])
        yield Waiting(shown, row["messages"], row["since"], row["next_at"], row["error"])
    yield from _deliver(options, [{**row, "name": name} for row in made])
