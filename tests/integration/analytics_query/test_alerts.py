"""Alerts over a real database, to a real mail server and a real webhook."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from functions.common import signature
from functions.common.paths import ROOT
from infra.cli.load.event_generator import Mix
from infra.local.alerts import something_is_due
from infra.local.alerts import start as start_alerts
from tests.conftest import Database
from tests.images.build_context import by_hand
from tests.support import oracle
from tests.support.exporter import collected
from tests.support.mail import REFUSED, Mailbox, certificate_in, smtp_server
from tests.support.net import wait_until
from tests.support.secrets import secrets_folder
from tests.support.stored_events import generated, store
from tests.support.tied_process import start_python
from tests.support.webhook import Hook

KEY = "a key for webhooks"
PAGE = "https://universe.example/page/"


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.release.set()
    hook.server.shutdown()
    hook.server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as mailbox:
        yield mailbox


class Alerts:
    """The program, and the rules in its database."""

    def __init__(self, database: Database, folder: Path, **environment: str) -> None:
        self.database = database
        self.log = folder / "alerts.log"
        secrets = secrets_folder(
            folder / "secrets", alerts_signing_key=KEY, smtp_password="right\n"
        )
        self.environment = {
            "DATABASE_READER_URL": database.reader_url,
            "SECRETS_DIR": str(secrets),
            "SMTP_HOST": "127.0.0.1",
            "SMTP_SECURITY": "none",
            "ALERTS_PRIVATE_ADDRESSES": "true",
            "ALERTS_DELAY": "0",
            "PUBLIC_URL": PAGE,
            "CURRENCY": "EUR",
            **environment,
        }

    def start(self, *arguments: str, **environment: str) -> Any:
        with self.log.open("ab") as output:
            variables = self.environment | environment
            program = ["-m", "functions.analytics_query.alerts", *arguments]
            return start_python(program, variables, output.fileno())

    def run(self, *arguments: str, **environment: str) -> str:
        """Run it, and return what it said; it has to succeed."""
        return self.run_to(0, *arguments, **environment)

    def run_to(self, status: int, *arguments: str, **environment: str) -> str:
        """Run it to an exit status, and return what it said."""
        before = self.log.stat().st_size if self.log.exists() else 0
        process = self.start(*arguments, **environment)
        assert process.wait(120) == status, self.log.read_text()
        return self.log.read_bytes()[before:].decode()

    def ask(self, statement: str, **params: Any) -> list[dict[str, Any]]:
        with (
            psycopg.connect(self.database.url, autocommit=True) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            cursor.execute(statement, params)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def add(self, name: str, rule: dict[str, Any], *recipients: str) -> None:
        hooks = [each for each in recipients if "@" not in each]
        self.ask(
            "INSERT INTO workspace.alerts (name, rule, emails, webhook)"
            " VALUES (%(name)s, %(rule)s, %(emails)s, %(webhook)s)",
            name=name,
            rule=Jsonb({"filters": {}} | rule),
            emails=[each for each in recipients if "@" in each],
            webhook=hooks[0] if hooks else None,
        )

    def one(self, name: str) -> dict[str, Any]:
        [row] = self.ask("SELECT * FROM workspace.alerts WHERE name = %(name)s", name=name)
        return row


def below(value: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "figure",
        "figure": "revenue",
        "interval": "day",
        "condition": "below",
        "value": value,
        **more,
    }


@pytest.mark.slow
def test_an_alert_is_sent_once_and_so_is_that_it_is_over(
    database: Database, tmp_path: Path, hook: Hook, mailbox: Mailbox
) -> None:
    """By mail and to the webhook, with the figure of yesterday."""
    now = datetime.now(UTC)
    events = generated(300, mix=Mix(days=3), until=now)
    store(database.url, events)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = {"from": oracle.utc(today - timedelta(days=1)), "to": oracle.utc(today)}
    revenue = oracle.amount(oracle.chosen(oracle.facts(events), yesterday))
    alerts = Alerts(database, tmp_path, SMTP_PORT=str(mailbox.port))
    alerts.add("Too little", below("1000000"), "a@example.com", "b@example.com", hook.url)
    alerts.add("Enough", below("0"), "a@example.com")
    said = alerts.run("check")
    assert said.count("Too little: sent") == 3
    assert mailbox.subjects() == ["Alert: Too little"] * 2
    assert {str(mail["To"]) for mail in mailbox.mails} == {"a@example.com", "b@example.com"}
    assert f"Revenue: {revenue:,.2f} EUR on " in mailbox.text()
    assert f"{PAGE}?from=" in mailbox.text()
    [(headers, body)] = hook.requests
    signature.verify([KEY.encode()], headers[signature.HEADER], body, time.time())
    [document] = hook.documents()
    assert (document["kind"], document["value"]) == ("fired", f"{revenue:f}")
    assert document["from"] == f"{today - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    assert document["alert"]["name"] == "Too little"
    row = alerts.one("Too little")
    assert row["firing_since"] is not None
    assert row["notified_at"] is not None
    assert (row["value"], row["send_errors"]) == (revenue, {})
    assert alerts.one("Enough")["firing_since"] is None

    # a second run, also one that judges the same again, tells nobody the same again
    alerts.ask("UPDATE workspace.alerts SET next_at = now(), judged = NULL")
    alerts.run("check")
    assert (len(mailbox.mails), len(hook.requests)) == (2, 1)
    alerts.ask(
        "UPDATE workspace.alerts SET next_at = now(), judged = NULL,"
        " rule = jsonb_set(rule, '{value}', '\"0\"') WHERE name = 'Too little'"
    )
    alerts.run("check")
    assert mailbox.subjects()[2:] == ["Recovered: Too little"] * 2
    assert hook.documents()[-1]["kind"] == "recovered"


@pytest.mark.slow
def test_a_message_that_cannot_be_sent_is_tried_again_and_said(
    database: Database, tmp_path: Path, hook: Hook, mailbox: Mailbox
) -> None:
    alerts = Alerts(database, tmp_path, SMTP_PORT=str(mailbox.port), ALERTS_ATTEMPTS="3")
    hook.status = 503
    alerts.add("Less", below("1"), REFUSED, "a@example.com", hook.url)
    said = alerts.run("check")
    found = collected(database.reader_url)
    attempts = found.all("universe_analytics_alert_attempts_total").items()
    assert {tuple(sorted(dict(labels).values())) for labels, value in attempts if value == 1} == {
        ("email", "sent"), ("email", "lost"), ("failed", "webhook"),
    }  # fmt: skip
    assert sum(value for _, value in attempts) == 3
    assert found.value("universe_analytics_alert_waiting_messages") == 1
    assert (found.value("universe_analytics_alert_oldest_message_seconds") or 0) > 0
    assert found.value("universe_analytics_alerts_overdue_seconds") == 0
    assert "nobody@example.com: refused: 550 no such user here; given up" in said
    shown = f"http://127.0.0.1:{hook.port}/…: it answers 503"
    assert f"not sent: {shown}; tried again at 2" in said
    errors = alerts.one("Less")["send_errors"]
    assert errors[hook.url] == shown
    assert mailbox.subjects() == ["Alert: Less"]
    # not before its time; what is over is not said before what began
    alerts.run("check")
    assert len(hook.requests) == 1
    alerts.ask(
        "UPDATE workspace.alerts SET next_at = now(), judged = NULL,"
        " rule = jsonb_set(rule, '{value}', '\"0\"')"
    )
    alerts.run("check")
    assert mailbox.subjects() == ["Alert: Less", "Recovered: Less"]
    assert len(hook.requests) == 1
    assert not something_is_due(database.reader_url)
    # a test is sent at once, also behind what waits, and says that it waits; nothing waits for it
    said = alerts.run_to(1, "test", "Less")
    assert said.endswith("the test was sent to 1 of 3 recipients\n")
    assert f"2 messages wait for http://127.0.0.1:{hook.port}/… since 2" in said
    assert f"; last error: {shown}\n" in said
    assert f"Less: not sent: {shown}; tried again at 2" in said
    assert [document["kind"] for document in hook.documents()] == ["fired", "test"]
    hook.status = 204
    assert alerts.run_to(1, "test", "Less").count("Less: sent\n") == 2
    assert [document["kind"] for document in hook.documents()] == ["fired", "test", "test"]
    hook.requests.clear()
    ready = " SET next_at = now() WHERE message ->> 'kind' <> 'test'"
    alerts.ask("UPDATE workspace.alert_messages" + ready)
    assert something_is_due(database.reader_url)
    alerts.run("check")
    assert [document["kind"] for document in hook.documents()] == ["fired", "recovered"]
    assert len({document["id"] for document in hook.documents()}) == 2
    alerts.ask("UPDATE workspace.alert_messages SET next_at = now()")
    alerts.run("check")
    assert hook.documents()[-1]["kind"] == "test"
    assert list(alerts.one("Less")["send_errors"]) == [f"mailto:{REFUSED}"]
    assert alerts.ask("SELECT FROM workspace.alert_messages") == []
    # given up after the last attempt
    hook.status = 500
    alerts.run_to(1, "test", "Less")
    for _ in range(2):
        alerts.ask("UPDATE workspace.alert_messages SET next_at = now()")
        said = alerts.run("check")
    assert "it answers 500; given up" in said
    assert alerts.ask("SELECT FROM workspace.alert_messages") == []


@pytest.mark.slow
def test_a_webhook_leads_nowhere_else(
    database: Database, tmp_path: Path, hook: Hook, mailbox: Mailbox
) -> None:
    alerts = Alerts(database, tmp_path, SMTP_PORT=str(mailbox.port))
    alerts.add("Less", below("1"), hook.url)
    hook.status = 302
    assert "answers 302: no redirect is followed; given up" in alerts.run("check")
    assert len(hook.requests) == 1
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254"):
        alerts.ask(
            "UPDATE workspace.alerts SET webhook = %(url)s", url=f"http://{host}:{hook.port}/"
        )
        said = alerts.run_to(1, "test", "Less", ALERTS_PRIVATE_ADDRESSES="false")
        assert "its address is private" in said, host
    assert len(hook.requests) == 1
    alerts.ask("UPDATE workspace.alerts SET webhook = NULL, emails = '{a@example.com}'")
    elsewhere = {"ALERTS_EMAIL_DOMAINS": "example.org, example.net"}
    said = alerts.run_to(1, "test", "Less", **elsewhere)
    assert "not listed in ALERTS_EMAIL_DOMAINS" in said
    assert said.endswith("the test was sent to 0 of 1 recipients\n")
    assert alerts.run("test", "Less", ALERTS_EMAIL_DOMAINS="example.com").endswith("sent\n")


@pytest.mark.slow
def test_mail_goes_encrypted_with_a_login(database: Database, tmp_path: Path) -> None:
    certificate = certificate_in(tmp_path)
    with smtp_server(certificate, ("universe", "right")) as mailbox:
        alerts = Alerts(
            database,
            tmp_path,
            SMTP_PORT=str(mailbox.port),
            SMTP_SECURITY="starttls",
            SMTP_USER="universe",
            SMTP_FROM="alerts@universe.example",
        )
        alerts.add("Less", below("1"), "a@example.com")
        assert "certificate verify failed" in alerts.run("check")
        assert mailbox.mails == []
        trusted = {"SSL_CERT_FILE": str(certificate)}
        alerts.ask("UPDATE workspace.alert_messages SET next_at = now()")
        said = alerts.run("check", SMTP_USER="somebody", **trusted)
        assert "the mail server refuses: 535" in said
        alerts.ask("UPDATE workspace.alert_messages SET next_at = now()")
        assert alerts.run("check", **trusted) == "Less: sent\n"
        [mail] = mailbox.mails
        assert mail["From"] == "Universe <alerts@universe.example>"
        assert str(mail["Message-ID"]).endswith("@universe.example>")


@pytest.mark.slow
def test_one_that_hangs_holds_up_no_other(
    database: Database, tmp_path: Path, hook: Hook, mailbox: Mailbox
) -> None:
    """Nor one that cannot be judged; and two that judge at the same time send it once."""
    alerts = Alerts(database, tmp_path, SMTP_PORT=str(mailbox.port), ALERTS_TIMEOUT="2")
    hook.release.clear()
    for number in range(3):
        alerts.add(f"Hangs {number}", below("1"), hook.url)
    by_property = {"filter": ["device:is:mobile"]}
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    of_yesterday = generated(20, mix=Mix(days=0.5), until=midnight - timedelta(hours=1))
    store(database.url, of_yesterday)
    alerts.add("Broken", below("1", filters=by_property), "a@example.com")
    alerts.add("Fine", below("1000000"), "a@example.com")
    both = [alerts.start("check", FILTER_MAX_EVENTS="0") for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert mailbox.subjects() == ["Alert: Fine"]
    assert len(hook.requests) == 3
    assert "It cannot be judged: " in alerts.one("Broken")["check_error"]
    assert collected(database.reader_url).value("universe_analytics_alerts_failing") == 1
    assert "timed out" in next(iter(alerts.one("Hangs 0")["send_errors"].values()))


@pytest.mark.slow
def test_a_summary_is_sent_once_a_day(database: Database, tmp_path: Path, mailbox: Mailbox) -> None:
    alerts = Alerts(database, tmp_path, SMTP_PORT=str(mailbox.port), TIMEZONE="Europe/Berlin")
    store(database.url, generated(400, mix=Mix(days=3), until=datetime.now(UTC)))
    daily = {"kind": "summary", "every": "day", "weekday": "monday", "hour": 0}
    alerts.add("Every morning", daily, "a@example.com")
    # what was due before it was asked for is not sent
    assert "The next summary is sent at" in alerts.run("check")
    assert mailbox.mails == []
    seen = alerts.run("check", "--dry-run")
    assert "The next summary is sent at" in seen
    alerts.ask(
        "UPDATE workspace.alerts SET next_at = now(), changed_at = now() - interval '2 days'"
    )
    seen = alerts.run("check", "--dry-run")
    assert "would be sent: Every morning: " in seen
    assert mailbox.mails == []
    alerts.run("check")
    alerts.ask("UPDATE workspace.alerts SET next_at = now()")
    alerts.run("check")
    assert len(mailbox.mails) == 1
    assert mailbox.subjects()[0].startswith("Every morning: ")
    assert "Conversion" in mailbox.text()
    assert "with the change against the day before." in mailbox.text()


@pytest.mark.slow
def test_the_platform_says_why_nothing_is_judged(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And goes on: it runs the program again as long as something is due."""
    secrets_folder(tmp_path / "secrets", database_reader_url=database.reader_url,
                   alerts_signing_key=KEY)  # fmt: skip
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs/alerts.log"
    wrong = {"SMTP_PORT": "many"}
    stop = start_alerts(tmp_path, database.reader_url, wrong, interval=0.05)
    try:
        Alerts(database, tmp_path).add("Less", below("1"), "a@example.com")
        said = "wrong setting SMTP_PORT"
        wait_until(lambda: log.exists() and log.read_text().count(said) > 1, 60)
        wait_until(lambda: f"not judged now (status 1): {said}" in caplog.text, 30)
    finally:
        stop()
    stop = start_alerts(tmp_path, "postgresql://a@127.0.0.1:1/x", {}, interval=0.05)
    try:
        wait_until(lambda: "alerts are not judged now: connection" in caplog.text, 30)
    finally:
        stop()


@pytest.mark.slow
def test_the_job_runs_of_what_is_copied_into_the_image(database: Database, tmp_path: Path) -> None:
    """As its manifest says, with the variables that are empty there."""
    manifest = yaml.safe_load((ROOT / "infra/kubernetes/base/alerts.yaml").read_text())
    [job] = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    home = by_hand(tmp_path)["analytics-query"]
    variables = {each["name"]: each["value"] for each in job["env"] if "value" in each}
    assert variables["PYTHONPATH"] == "/home/app/function"
    variables |= {"PYTHONPATH": f"{home}/function", "DATABASE_READER_URL": database.reader_url}
    Alerts(database, tmp_path).add("Less", below("1"), "a@example.com")
    done = subprocess.run(
        [sys.executable, *job["command"][1:]],
        env=variables, cwd=home, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "Less: not sent: a@example.com: there is no mail server: set SMTP_HOST" in done.stdout
