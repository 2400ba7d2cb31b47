"""A condition is logged when it changes."""

import logging

import pytest

from functions.common.log_on_change import LogOnChange

logger = logging.getLogger(__name__)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.message) for record in caplog.records]


def test_the_same_text_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    on_change = LogOnChange(logger)
    logged = [on_change.log("nats", text) for text in ("away", "away", "100% full", "away")]
    assert logged == [True, False, True, True]
    assert lines(caplog) == [("WARNING", "away"), ("WARNING", "100% full"), ("WARNING", "away")]


def test_keys_are_independent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    on_change = LogOnChange(logger, logging.ERROR)
    assert on_change.log("a", "away")
    assert on_change.log("b", "away", level=logging.INFO, extra={"server": "b"})
    assert not on_change.log("a", "away")
    assert lines(caplog) == [("ERROR", "away"), ("INFO", "away")]
    assert caplog.records[1].__dict__["server"] == "b"


def test_recovery_is_logged_once_and_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    on_change = LogOnChange(logger)
    assert not on_change.recovered("nats", "back")
    on_change.log("nats", "away")
    assert on_change.recovered("nats", "back")
    assert not on_change.recovered("nats", "back")
    assert on_change.log("nats", "away")
    assert on_change.recovered("nats")
    assert lines(caplog) == [("WARNING", "away"), ("INFO", "back"), ("WARNING", "away")]
