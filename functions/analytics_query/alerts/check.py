"""Judges the alerts that are due, and writes down what is to be sent."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from functions.common.errors import DatabaseUnavailableError, UniverseError
from functions.common.json_text import to_json
from functions.common.workspace import workspace

from .. import database
from ..database import Row, Snapshot, run
from ..query.statements import Statements
from ..reports import REPORTS
from ..reports.compute import compute
from ..settings import AlertsSettings, settings
from . import message
from .figures import FIGURES, SUMMARY, Value
from .judge import State, Times, Verdict, judge
from .message import Message
from .rule import RULE, SummaryRule
from .schedule import Span, last_summary, next_summary, summarized

logger = logging.getLogger(__name__)

SQL = Statements("alerts.sql")
LEASE = timedelta(minutes=10)
"""How long an alert is with one process that judges it."""
AGAIN = timedelta(minutes=10)
"""When an alert is judged again whose figure could not be read."""
MAIL = "mailto:"


@dataclass(frozen=True)
class Said:
    """What came of one alert, in words; and the message that it sends, if any."""

    name: str
    words: str
    message: Message | None = None


def check(options: AlertsSettings) -> Iterator[Said]:
    """Judge all alerts that are due.

    Raises:
        DatabaseUnavailableError: the database is away.
    """
    while True:
        now = datetime.now(UTC)
        with database.writing() as connection:
            row = run(connection, SQL["claim_alert"], now=now, until=now + LEASE)
        if row is None:
            return
        yield _check(row, options)


def look(options: AlertsSettings) -> Iterator[Said]:
    """Judge all alerts, due or not, and change nothing.

    Raises:
        DatabaseUnavailableError: the database is away.
    """
    with database.snapshot() as snapshot:
        rows = snapshot.rows(SQL["alerts_to_try"])
    for row in rows:
        try:
            verdict, words, made = _judge(row, options, anew=True)
        except (UniverseError, psycopg.DataError) as error:
            yield Said(row["name"], f"cannot be judged: {error}")
            continue
        firing = "fires" if verdict.state.firing_since else "is quiet"
        yield Said(row["name"], f"{words} {'It ' + firing + '.' if firing else ''}", made)


def _check(row: Row, options: AlertsSettings) -> Said:
    key = {"id": row["id"], "changed_at": row["changed_at"]}
    try:
        verdict, words, made = _judge(row, options)
    except DatabaseUnavailableError:
        raise
    except Exception as error:
        # one that cannot be judged must not keep the others from it
        known = isinstance(error, (UniverseError, psycopg.DataError))
        if not known:
            logger.exception("alert %s cannot be judged", row["id"])
        text = f"It cannot be judged: {error if known else type(error).__name__}"
        now = datetime.now(UTC)
        with database.writing() as connection:
            run(
                connection,
                SQL["store_check_error"],
                **key,
                now=now,
                next_at=now + AGAIN,
                error=text,
            )
        return Said(row["name"], text)
    seen = verdict.seen
    before = None if seen is None else seen.before
    now = datetime.now(UTC)
    with database.writing() as connection:
        kept = run(
            connection,
            SQL["store_verdict"],
            **key,
            now=now,
            judged=verdict.state.judged,
            firing_since=verdict.state.firing_since,
            next_at=verdict.next_at,
            looked=seen is not None,
            value=seen and seen.value.amount,
            compared=before and before.amount,
        )
        if kept is None:
            return Said(row["name"], "It was changed meanwhile.")
        if made is not None:
            document = to_json(asdict(made)).decode()
            for recipient in recipients(row):
                params = {"id": row["id"], "recipient": recipient, "message": document, "now": now}
                run(connection, SQL["add_message"], **params)
    return Said(row["name"], words, made)


def recipients(row: Mapping[str, Any]) -> list[str]:
    """Return whom an alert tells: `mailto:` with an address, or the URL of a webhook."""
    mails = [MAIL + address for address in row["emails"]]
    return [*mails, row["webhook"]] if row["webhook"] else mails


def _judge(
    row: Row, options: AlertsSettings, *, anew: bool = False
) -> tuple[Verdict, str, Message | None]:
    """Return what follows for an alert, what was seen in words, and the message to send.

    Args:
        row: the alert.
        options: how alerts are judged.
        anew: judge as if nothing had been judged yet.
    """
    rule = RULE.validate_python(row["rule"])
    times = Times(
        datetime.now(UTC),
        ZoneInfo(settings().timezone),
        timedelta(seconds=options.alerts_delay),
        timedelta(seconds=options.alerts_early),
    )
    zone, currency = times.zone, workspace().currency
    context: dict[str, Any] = {"zone": zone, "currency": currency, "page": options.public_url}
    judged = None if anew else row["judged"]
    with database.snapshot() as snapshot:
        reader = _Reader(snapshot, rule.filters, zone)
        if isinstance(rule, SummaryRule):
            return _summarize(row, rule, judged, times, reader, context)
        state = State(judged, row["firing_since"])
        verdict = judge(rule, state, times, lambda span: reader.read(rule.figure, span))
    seen, event = verdict.seen, verdict.event
    words = "" if seen is None else message.seen_in_words(rule, seen, zone, currency)
    if event is None or seen is None:
        return verdict, words, None
    return verdict, words, message.of_event(row["name"], rule, event, seen, **context)


def _summarize(
    row: Row,
    rule: SummaryRule,
    judged: datetime | None,
    times: Times,
    reader: "_Reader",
    context: dict[str, Any],
) -> tuple[Verdict, str, Message | None]:
    zone, now = times.zone, times.now - times.delay
    at = last_summary(rule, now, zone)
    next_at = next_summary(rule, now, zone) + times.delay
    # what was to be sent before somebody asked for it is not sent
    if at <= (judged or row["changed_at"]):
        words = f"The next summary is sent at {next_at.astimezone(zone):%Y-%m-%d %H:%M}."
        return Verdict(State(judged), None, None, next_at), words, None
    span, before = summarized(rule, at, zone)
    figures = {
        figure: (reader.read(figure, span), reader.read(figure, before)) for figure in SUMMARY
    }
    made = message.of_summary(row["name"], rule, span, figures, **context)
    return Verdict(State(at), None, None, next_at), made.sentences[0], made


class _Reader:
    """Reads figures of one snapshot under filters; a report of a range is computed once."""

    def __init__(self, snapshot: Snapshot, filters: Mapping[str, Any], zone: ZoneInfo) -> None:
        self._snapshot = snapshot
        self._asked = {**filters, "timezone": zone.key}
        self._responses: dict[tuple[str, Span], Any] = {}

    def read(self, name: str, span: Span) -> Value:
        figure = FIGURES[name]
        key = (figure.report, span)
        if key not in self._responses:
            report = REPORTS[figure.report]
            query = report.query.model_validate({**self._asked, "from": span.start, "to": span.end})
            self._responses[key] = compute(self._snapshot, report, query)
        return figure.read(self._responses[key])
