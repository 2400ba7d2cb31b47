"""The failure table: what becomes of a message, whatever the function does with it.

Every row sends one message that makes the function misbehave among healthy ones, and says what must
have happened when the stream is empty again.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from tests.support.connector import connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import dead_letters, drained, event, publish

ATTEMPTS = 3  # NATS_MAX_DELIVER of these tests


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: what the function does.
        do: how the bad event tells it to.
        dead: whether the bad message ends in the dead-letter queue.
        reason: a part of the reason that it is given there.
        attempts: what its dead letter says was charged.
        alone: how often the bad message is called alone, in a batch of one or by itself.
    """

    name: str
    do: str
    dead: bool
    reason: str = ""
    attempts: int = 0
    alone: int | None = None


TABLE = [
    # what the function does, what the event says, dead, reason, attempts charged, calls alone
    Row("answers 500", "status:500", True, "HTTP 500: no EVENTS", ATTEMPTS),
    Row("kills itself", "kill", True, "was lost during the call", ATTEMPTS),
    Row("drops the connection", "drop", True, "was lost during the call", ATTEMPTS),
    Row("answers 200 with garbage", "answer:<html>", True, "it is not JSON", ATTEMPTS),
    Row("answers 200 with a JSON array", "answer:[1]", True, "not a JSON object", ATTEMPTS),
    Row(
        "names an unknown message",
        'answer:{"batchItemFailures":[{"itemIdentifier":"EVENTS:999"}]}',
        True,
        "unknown item 'EVENTS:999'",
        ATTEMPTS,
    ),
    Row(
        "names no message",
        'answer:{"batchItemFailures":[{"itemIdentifier":""}]}',
        True,
        "unknown item ''",
        ATTEMPTS,
    ),
    Row("answers 400", "status:400", True, "HTTP 400", 1, alone=1),
    Row("answers 422", "status:422", True, "HTTP 422", 1, alone=1),
    Row("answers 404", "status:404", True, "HTTP 404", 1, alone=1),
    Row("calls the message dead", "dead-message", True, "all of it", 1, alone=0),
    Row("calls the event dead", "dead", True, "told to refuse", 1, alone=0),
    Row("asks to retry, always", "retry", True, "again, please", ATTEMPTS),
    Row("asks to retry, once", "once:retry", False),
    Row("asks to retry later, once", "once:retry:0.2", False),
    Row("answers 500 once", "once:status:500", False),
    Row("kills itself once", "once:kill", False),
    Row("answers 503 once", "once:status:503", False),
    Row("answers 429 once", "once:status:429", False),
    Row("answers 408 once", "once:status:408", False),
    Row("answers 425 once", "once:status:425", False),
    Row("answers 302 once", "once:status:302", False),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name.replace(" ", "-"))
async def test_row(row: Row, js: JetStreamContext, nats_url: str, tmp_path: Path) -> None:
    bad = event("bad", row.do, nested={"kept": "as it was"})
    await publish(js, *(event(f"a{i}") for i in range(5)), bad, *(event(f"b{i}") for i in range(5)))

    with (
        FakeFunction(tmp_path).keep_running().ready() as function,
        connector_to(function, tmp_path, nats_url) as connector,
    ):
        await drained(js)
        healthy = {f"{x}{i}" for x in "ab" for i in range(5)}
        done = function.done()
        assert set(done) == healthy | (set() if row.dead else {"bad"})
        assert len(done) == len(set(done)), "nothing is done twice"

        letters = await dead_letters(js)
        if row.dead:
            (letter,) = letters
            assert letter.data == json.dumps(bad).encode()
            assert letter.subject == "dlq.EVENTS.events.facebook"
            assert row.reason in letter.headers["Dlq-Reason"]
            assert letter.headers["Dlq-Stream"] == "EVENTS"
            assert letter.headers["Dlq-Sequence"] == "6"
            assert letter.headers["Dlq-Subject"] == "events.facebook"
            assert letter.headers["Dlq-Attempts"] == str(row.attempts)
            assert letter.headers["X-Call-Id"] == "call-1"
            assert letter.headers["Dlq-Time"]
        else:
            assert letters == []
        if row.alone is not None:
            assert function.calls().count(["EVENTS:6"]) == row.alone

        m = connector.metrics()
        assert m["fetched_messages_total"] == 11
        assert m["fetched_events_total"] == (
            m["done_events_total"] + m["dead_events_total"] + m.get("returned_events_total", 0)
        )
        assert connector.stop() == 0
