"""Section 3: the JSON Schemas of events make no wrong promise.

What a schema calls invalid is rejected, and what it calls valid is accepted where JSON Schema can
say it: it cannot tell `36.0` from `36`, and knows neither the calendar nor the time of day.
"""

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema.validators import extend
from pydantic import ValidationError

from functions.common.events import SOURCES, validate_json
from functions.ingest.api import schemas
from functions.ingest.settings import IngestSettings
from functions.ingest.validation import EventValidator


def ecma_pattern(_: Any, pattern: str, instance: Any, __: Any) -> Any:
    """Check `pattern` as JSON Schema defines it: `$` is the end only, and not before a newline."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = extend(jsonschema.Draft202012Validator, {"pattern": ecma_pattern})
VALIDATORS = {name: Validator(schemas.source_schema(name)) for name in SOURCES}
EXAMPLES = [event for name in SOURCES for event in schemas.examples(name)]

TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", "x" * 200, "x" * 201, "\u0661", "\U0001f600" * 200, "1\n", "-1.5", "1.", "0" * 15,
         "0" * 16, "1.1234567", "top", "bottom", "facebook", "tiktok", "like", "female", "iOS"]
    ),
)  # fmt: skip
TIMES = st.builds(
    "{}-{}-{}{}{}{}{}".format,
    st.sampled_from(["2026", "2000", "1999", "026"]),
    st.sampled_from(["01", "12", "13", "1", "00", "\u0661\u0661"]),
    st.sampled_from(["01", "28", "31", "32", "00"]),
    st.sampled_from(["T", "t", " ", "_", ""]),
    st.sampled_from(["00:00", "23:59:59", "24:00:00", "12:00:60", "12:00", "1:2:3"]),
    st.sampled_from(["", ".5", ".123456789012", ",5", "."]),
    st.sampled_from(
        ["Z", "z", "+01:00", "-0130", "\u221201:00", "+24:00", "+01", "", "+01:60", "Z ", "Z\n"]
    ),
)
NUMBERS = st.one_of(
    st.integers(-2, 160),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(
    st.none(), st.booleans(), NUMBERS, TEXTS, TIMES,
    st.just([]), st.just({}), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["userId", "country", "city", "x"]), TEXTS, max_size=3),
)  # fmt: skip


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the paths of all fields of an event."""
    if not isinstance(value, dict):
        return []
    found = [(*path, name) for name in value]
    return found + [each for name in value for each in places(value[name], (*path, name))]


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An example with some fields changed, removed or added."""
    event = copy.deepcopy(draw(st.sampled_from(EXAMPLES)))
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(places(event) or [("x",)]))
        parent = event
        for name in path[:-1]:
            parent = parent[name]
        match draw(st.sampled_from(["set", "time", "remove", "add"])):
            case "set":
                parent[path[-1]] = draw(VALUES)
            case "time":
                parent[path[-1]] = draw(TIMES)
            case "remove":
                parent.pop(path[-1], None)
            case _:
                parent["unknown field"] = draw(VALUES)
    return event


def valid_by_schema(event: dict[str, Any]) -> bool:
    source = event.get("source")
    known = isinstance(source, str) and source in VALIDATORS
    return VALIDATORS[source].is_valid(event) if known else False  # pyright: ignore


def accepted(event: dict[str, Any]) -> tuple[bool, list[str]]:
    """Tell whether ingest accepts an event, and what is wrong with it."""
    raw = json.dumps(event).encode()
    try:
        validate_json(raw)
    except ValidationError as error:
        return False, [each["type"] for each in error.errors()]
    validator = EventValidator(IngestSettings(), 10**6)
    validator.add(raw)
    result = validator.found
    return result.accepted == 1, [each["type"] for r in result.rejected for each in r.errors]


INEXPRESSIBLE = re.compile(r"int_type|int_from_float|timestamp_too_early|timestamp_in_future|"
                           r"timestamp_too_old|datetime.*parsing")  # fmt: skip
"""What JSON Schema cannot say: `36.0` is an integer to it, and it has no calendar and no clock."""


@given(events())
def test_schema_and_validator_agree(event: dict[str, Any]) -> None:
    """Events the schema calls valid are accepted, and those it calls invalid are rejected."""
    taken, wrong = accepted(event)
    if valid_by_schema(event):
        assert taken or all(INEXPRESSIBLE.fullmatch(each) for each in wrong), wrong
    else:
        assert not taken


@given(events(), st.data())
def test_an_integer_that_is_written_with_a_fraction(
    event: dict[str, Any], data: st.DataObject
) -> None:
    """The first of the exceptions is as the description of the schemas says."""
    assume(valid_by_schema(event) and accepted(event)[0])
    user = event["data"]["user"]
    name = data.draw(st.sampled_from([each for each in ("age", "followers") if each in user]))
    assume(abs(user[name]) < 2**53)
    user[name] = float(user[name])
    assert valid_by_schema(event)
    assert not accepted(event)[0]


@pytest.mark.parametrize("name", SOURCES)
def test_every_pattern_means_the_same_in_every_dialect(name: str) -> None:
    r"""`\d` is a digit of any script to some engines, and an ASCII one to ECMAScript."""
    text = json.dumps(schemas.source_schema(name))
    assert not re.search(r"\\\\[dwsbDWSB]", text)


@given(TIMES)
def test_every_time_that_is_accepted_is_one_by_the_schema(text: str) -> None:
    """The pattern of `timestamp` is as wide as what the validator reads."""
    event = copy.deepcopy(EXAMPLES[0])
    event["timestamp"] = text
    if accepted(event)[0]:
        assert valid_by_schema(event)
    event["timestamp"] = EXAMPLES[0]["timestamp"]
    event["data"]["engagement"]["actionTime"] = text
    assert accepted(event)[0] == valid_by_schema(event)
