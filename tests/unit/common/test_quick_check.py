"""The quick check says nothing that the contract does not say."""

import json
from typing import Annotated, Any, Literal, NotRequired

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from functions.common import quick_check
from functions.common.errors import RequestRefusedError
from functions.common.events import SOURCES, validate_json
from functions.common.quick_check import check_plain
from functions.ingest.body import iter_events
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


def test_plain_events_are_checked_and_the_result_is_the_contracts() -> None:
    for event in VALID:
        for text in (orjson.dumps(event), json.dumps(event, ensure_ascii=False).encode()):
            assert check_plain(text) == validate_json(text), text


@given(changed_events())
@example(b'{"eventId":"1","timestamp":"2026-02-30T00:00:00Z"}')
@settings(max_examples=kinds.examples(quick=10))
def test_whatever_it_returns_the_contract_returns(text: bytes) -> None:
    found = check_plain(text)
    if found is not None:
        text.decode()
        assert found == validate_json(text)
        assert is_accepted_by_contract(text)


def test_utc_may_be_written_as_an_offset() -> None:
    for time in ("03:04:05+00:00", "03:04:05.678+00:00", "03:04:05.678901+00:00"):
        text = orjson.dumps(VALID[0] | {"timestamp": f"2026-01-02T{time}"})
        assert check_plain(text) == validate_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"eventId": ""},
        {"eventId": "i" * 201},
        {"eventType": "purchase "},
        {"timestamp": "2026-02-30T00:00:00Z"},
        {"timestamp": "1999-12-31T23:59:59Z"},
        {"timestamp": "2199-12-31T23:59:59Z"},
        {"timestamp": "2026-01-02T03:04:05+02:00"},
        {"more": 1},
        {"data": None},
    ],
)
def test_it_says_nothing_of_other_events(change: dict[str, Any]) -> None:
    assert check_plain(orjson.dumps(VALID[0] | change)) is None


def test_it_says_nothing_of_what_is_unknown_repeated_or_escaped_in_data() -> None:
    for event in ONE_OF_A_KIND:
        text = orjson.dumps(event)
        for old, new in (
            (b'"user":{', b'"user":{"x":1e999,'),
            (b'"engagement":{', b'"engagement":{"a:b":"c",'),
            (b'"data":{', b'"data":{"user":1,'),
            (b'"userId":"', b'"userId":"\\u0041'),
            (b'"user":', b'\n"user":'),
        ):
            assert old in text
            assert check_plain(text) is not None
            assert check_plain(text.replace(old, new)) is None


def test_numbers_out_of_range_are_left_to_the_contract() -> None:
    [event] = [each for each in ONE_OF_A_KIND if "watchTime" in each["data"]["engagement"]][:1]
    event["data"]["engagement"]["watchTime"] = 12345
    text = orjson.dumps(event)
    assert check_plain(text)
    for number in (b"1e999", b"-1", b"1" * 400, b"NaN", b"true"):
        changed = text.replace(b"12345", number)
        assert check_plain(changed) is None
        assert not is_accepted_by_contract(changed)


def test_every_declared_event_is_known() -> None:
    known = {(source, stage) for source, stage, _ in quick_check.KINDS}
    assert known == {(name, stage) for name in SOURCES for stage in ("top", "bottom")}


class _Tagged(TypedDict):
    tags: list[str]


class _Deep(TypedDict):
    user: _Tagged


class _Plain(TypedDict):
    user: str
    other: NotRequired[Annotated[str, StringConstraints(to_lower=True)]]


class _Unlike(TypedDict):
    count: Annotated[int, Field(gt=1)]


class _Number(TypedDict):
    count: NotRequired[int]


class _Lower(TypedDict):
    name: Annotated[str, StringConstraints(to_lower=True)]


@pytest.mark.parametrize("data", [_Tagged, _Deep, _Unlike, _Number, _Lower, _Plain])
def test_a_declaration_that_it_does_not_understand_is_left_to_the_contract(data: Any) -> None:
    name = Literal["name"]
    fields = {"source": name, "funnelStage": name, "eventType": name, "data": data}
    make: Any = TypedDict
    event = make("event", fields)
    assert bool(list(quick_check._kinds(event))) == (data is _Plain)


@given(st.lists(st.sampled_from([b'{"a": [1, "]"]}', b" 1", b'"x" ', b"[]", b"", b"{", b'"\xff"'])))
def test_a_short_array_is_split_like_a_long_one(elements: list[bytes]) -> None:
    body = b"[" + b",".join(elements) + b"]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("functions.ingest.body._SHORT_ARRAY_BYTES", 0)
        expected = outcome(body)
    assert outcome(body) == expected


def outcome(body: bytes) -> list[bytes | None] | str:
    try:
        return list(iter_events(body, ndjson=False, max_events=3))
    except RequestRefusedError as error:
        return str(error.status)
