"""What ingest takes for plain, the contract takes too, and sees the same in it."""

import json

import orjson
import pytest
from hypothesis import example, given, settings

from functions.common.events import validate_json
from functions.ingest import plain
from functions.ingest.plain import Identity, identify_plain
from tests.support import kinds
from tests.support.changed_events import (
    ONE_OF_A_KIND,
    VALID,
    changed_events,
    is_accepted_by_contract,
    read_clock,
)


@pytest.fixture(autouse=True, scope="module")
def _clock_is_read() -> None:
    read_clock()


def by_contract(text: bytes) -> Identity:
    event = validate_json(text)
    return event["source"], event["eventId"], event["timestamp"]


def test_events_of_every_kind_are_read_as_they_are_mostly_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plain, "check_plain", lambda _: None)
    for event in VALID:
        for text in (orjson.dumps(event), json.dumps(event).encode()):
            assert identify_plain(text) == by_contract(text), text


def test_others_are_read_as_they_are_written() -> None:
    for event in ONE_OF_A_KIND:
        text = orjson.dumps(dict(reversed(event.items())))
        assert identify_plain(text) == by_contract(text), text


@given(changed_events())
@example(b'{"eventId":"1","timestamp":"2026-02-30T00:00:00Z"}')
@settings(max_examples=kinds.examples(quick=10))
def test_whatever_is_plain_is_accepted(text: bytes) -> None:
    found = identify_plain(text)
    if found is not None:
        text.decode()
        assert found == by_contract(text)
        assert is_accepted_by_contract(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"source":"', b'"source":1,"source":"'),
        (b'"data":', b'"source":"other","data":'),
        (b'"data":', b'"data":{},"data":'),
        (b'"user":{', b'"user":{"x":1e999,'),
        (b'"user":{', b'"user":{"userId":[],'),
        (b'"user":{', b'"user":{}},"more":{"user":{'),
        (b'"userId":"', b'"userId":"\n'),
        (b'"userId":"', b'"userId":"\xff'),
        (b'"userId":"', b'"userId":"\\ud800'),
        (b'"timestamp":"2', b'"timestamp":"1'),
        (b'"timestamp":"2', b'"timestamp":"3'),
        (b'"eventId":"', b'"eventId":"","":"'),
        (b"}}}", b"}}"),
        (b"}}}", b"}}}}"),
    ],
)
def test_what_may_not_be_valid_is_left_to_the_contract(old: bytes, new: bytes) -> None:
    for event in ONE_OF_A_KIND:
        text = orjson.dumps(event)
        assert old in text
        assert identify_plain(text) is not None
        assert identify_plain(text.replace(old, new)) is None


def test_times_in_data_are_looked_at() -> None:
    events = [each for each in ONE_OF_A_KIND if "actionTime" in each["data"]["engagement"]]
    assert {each["source"] for each in events} == {"facebook", "tiktok"}
    for event in events:
        text = orjson.dumps(event)
        time = orjson.dumps(event["data"]["engagement"]["actionTime"])
        for written, expected in (
            (b'"2026-01-02T03:04:05.678Z"', True),
            (b'"2026-01-02"', False),
            (b'"2026-01-02T03:04:05+02:00"', False),
            (b'""', False),
        ):
            changed = text.replace(b'"actionTime":' + time, b'"actionTime":' + written)
            assert bool(identify_plain(changed)) is expected


def test_what_is_said_twice_is_read_as_the_contract_reads_it() -> None:
    [event] = [each for each in ONE_OF_A_KIND if each["eventType"] == "checkout.complete"]
    text = orjson.dumps(event).replace(b'"eventId":', b'"eventId":"first","eventId":')
    assert identify_plain(text) == by_contract(text)
