"""How many calls run at the same time, of one connector and of several."""

from pathlib import Path

import pytest
from nats.js import JetStreamContext

from tests.support.connector import connector_to
from tests.support.fakes import FakeFunction
from tests.support.jetstream import drained, event, publish


@pytest.mark.parametrize(
    "headers", [{}, pytest.param({"Retry-After": "1"}, marks=pytest.mark.slow)]
)
async def test_few_calls_are_refused(
    headers: dict[str, str],
    js: JetStreamContext,
    function: FakeFunction,
    nats_url: str,
    tmp_path: Path,
) -> None:
    """A function that takes two calls at once gets few more than two."""
    number = 200
    await publish(js, *(event(f"{n}") for n in range(number)))
    function.mode(takes=2, delay=0.03, headers=headers)
    settings = {"DELIVERY": "single", "NATS_CONCURRENCY": "8"}
    with connector_to(function, tmp_path, nats_url, **settings) as connector:
        await drained(js)
        assert sorted(function.done()) == sorted(f"{n}" for n in range(number))
        assert 0 < function.refused() < 50
        assert connector.metrics()["done_messages_total"] == number
        (binding,) = connector.bindings()
        assert binding["concurrencyLimit"] in range(1, 4)
        assert any("HTTP 429" in sentence for sentence in binding["explanation"])
