"""Plain events of a batch are stored as if all were parsed and validated by the contract."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings

from functions.common.errors import RequestRefusedError
from functions.common.events import validate_json
from functions.common.limits import EventLimits
from functions.common.quick_check import Envelope
from functions.process_batch import body as body_module
from functions.process_batch import validation as validation_module
from functions.process_batch.body import read_messages
from functions.process_batch.validation import DeadEvent, ValidationSummary, validated_rows
from tests.support import kinds
from tests.support.changed_events import ONE_OF_A_KIND, VALID, changed_events

BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture(autouse=True, scope="module")
def _clock_is_read() -> None:
    validate_json(orjson.dumps({**VALID[0], "timestamp": f"{datetime.now(UTC):%FT%TZ}"}))


def batch_of(*payloads: bytes) -> bytes:
    messages = [b'{"id":"A:%d","data":%b}' % each for each in enumerate(payloads)]
    return b"[" + b",".join(messages) + b"]"


Stored = tuple[list[tuple[Any, ...]], list[DeadEvent], int, int]


def stored(body: bytes, limits: EventLimits) -> Stored | int:
    """Return the rows (JSON parsed) and what validation says; or the status of the refusal."""
    validation = ValidationSummary()
    try:
        messages = read_messages(body, BATCH, len(body))
        parts = list(validated_rows(messages, validation, limits))
    except RequestRefusedError as error:
        return error.status
    rows: list[tuple[Any, ...]] = []
    for row in (each for part in parts for each in part):
        *columns, data, extra = row.line.rstrip("\n").split("\t")
        del columns[3]  # when it was received
        values = [None if each == r"\N" else json.loads(unescaped(each)) for each in (data, extra)]
        rows.append((*row[:3], columns, values, *row[4:]))
    return rows, validation.invalid, validation.received, validation.duplicates


def unescaped(text: str) -> str:
    return text.replace("\\\\", "\\")


def stored_by_contract(body: bytes, limits: EventLimits) -> Stored | int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_module, "_plain_batch", lambda _: None)
        return stored(body, limits)


GOOD = orjson.dumps(VALID[0])


@given(changed_events())
@example(orjson.dumps(VALID[1] | {"eventId": 'tab\t \\ "'}))
@example(orjson.dumps(VALID[1] | {"eventId": "nul\0"}))
@example(orjson.dumps(VALID[1] | {"more": [1]}))
@example(orjson.dumps(VALID[1] | {"timestamp": "2001-01-01T00:00:00+00:00"}))
@example(orjson.dumps(VALID[0]))
@example(b'"\xff"')
@settings(max_examples=kinds.examples(quick=20))
def test_a_batch_is_stored_as_the_contract_says(text: bytes) -> None:
    old = EventLimits(max_event_age_days=3650)
    for body in (batch_of(b"[%b,%b]" % (GOOD, text), GOOD), batch_of(text, b"[]", GOOD)):
        assert stored(body, old) == stored_by_contract(body, old)
    small = EventLimits(max_event_bytes=len(text) - 2 if len(text) > 300 else 300)
    body = batch_of(b"[%b]" % text)
    assert stored(body, small) == stored_by_contract(body, small)


def test_only_unusual_events_are_parsed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Envelope] = []

    def counted(event: Envelope) -> Any:
        parsed.append(event)
        return body_module.parse_envelope(event)

    monkeypatch.setattr(validation_module, "parse_envelope", counted)
    plain = b"[%b]" % b",".join(map(orjson.dumps, VALID))
    assert stored(batch_of(plain), EventLimits()) == stored_by_contract(
        batch_of(plain), EventLimits()
    )
    assert not parsed
    # after some unusual events most are not looked at, and the first plain one ends that soon
    unusual = plain.replace(b'"user":{', b'"user":{"x":1,', 100)
    assert stored(batch_of(unusual), EventLimits()) == stored_by_contract(
        batch_of(unusual), EventLimits()
    )
    assert 100 <= len(parsed) < 100 + 32


def with_watch_time(number: bytes) -> bytes:
    [event] = [each for each in ONE_OF_A_KIND if "watchTime" in each["data"]["engagement"]][:1]
    text = orjson.dumps(event)
    sent = orjson.dumps(event["data"]["engagement"]["watchTime"])
    return text.replace(b'"watchTime":' + sent, b'"watchTime":' + number)


@pytest.mark.parametrize("number", [b"1e-99999", b"0." + b"1" * 20_000])
def test_numbers_that_only_a_float_can_hold_are_stored_as_one(number: bytes) -> None:
    body = batch_of(with_watch_time(number))
    [part] = validated_rows(read_messages(body, BATCH, len(body)), ValidationSummary())
    assert f'"watchTime":{float(number)},' in part[0].line


def test_other_numbers_are_stored_as_they_were_written() -> None:
    number = b"12.3456789012345678901234"
    body = batch_of(b'[{"n":%b}]' % number, with_watch_time(number))
    body = body.replace(b"}]", b',"callid":"%b"}]' % (b"1" * 32))
    validation = ValidationSummary()
    [part] = validated_rows(read_messages(body, BATCH, len(body)), validation)
    assert f'"watchTime":{number.decode()},' in part[0].line
    assert len(validation.invalid) == 1


def test_long_digits_in_an_id_change_nothing() -> None:
    """Correlation ids are often of digits alone, as far as a search for large numbers can tell."""
    body = batch_of(GOOD)[:-2] + b',"callid":"%b"}]' % (b"1" * 32)
    [message] = read_messages(body, BATCH, len(body))
    assert (type(message.events[0]), message.call_ids) == (Envelope, ["1" * 32])
    unusual = batch_of(b'[{"followers":%b}]' % (b"1" * 32))
    [message] = read_messages(unusual, BATCH, len(unusual))
    assert message.events == [{"followers": int("1" * 32)}]
    assert message.dump(message.events[0]) == '{"followers":%s}' % ("1" * 32)
