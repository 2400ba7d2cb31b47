"""A function that gets one message per call says by a header what becomes of it."""

import json
from pathlib import Path

from nats.js import JetStreamContext

from tests.support.connector import connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import dead_letters, drained, event, publish


async def test_a_header_disposes_of_a_single_message(
    js: JetStreamContext, nats_url: str, tmp_path: Path
) -> None:
    with (
        FakeFunction(tmp_path).start().ready() as function,
        connector_to(function, tmp_path, nats_url, DELIVERY="single"),
    ):
        await publish(
            js,
            event("dead", "says:dead"),
            event("again", "once:says:retry:0"),
            event("later", "once:says:defer:1"),
            event("always", "says:retry:0"),
        )
        await drained(js)
        assert sorted(function.done()) == ["again", "later"]
        letters = {json.loads(letter.data)["eventId"]: letter for letter in await dead_letters(js)}
        assert {letter.headers["Dlq-Reason"] for letter in letters.values()} == {"told so"}
        attempts = {name: letter.headers["Dlq-Attempts"] for name, letter in letters.items()}
        assert attempts == {"dead": "1", "always": "3"}
