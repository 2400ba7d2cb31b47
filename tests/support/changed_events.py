"""Texts of events, most of which the contract does not allow."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import strategies as st

from functions.common.events import validate_json
from functions.common.limits import EventLimits
from functions.ingest.validation import EventValidator
from infra.cli.load.event_generator import Mix, generate

VALID = [each.event for each in generate(400, seed=3, mix=Mix(days=3))]
ONE_OF_A_KIND = list({(e["source"], e["funnelStage"], e["eventType"]): e for e in VALID}.values())


def is_accepted_by_contract(text: bytes) -> bool:
    """Tell what ingest says of an event if it takes none for plain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("functions.ingest.validation.identify_plain", lambda _: None)
        validator = EventValidator(EventLimits(), 2**20, ndjson=True)
        validator.add(text)
    return validator.found.accepted == 1


def read_clock() -> None:
    """Have the contract look at the clock, which it does for times near the present."""
    validate_json(orjson.dumps({**VALID[0], "timestamp": f"{datetime.now(UTC):%FT%TZ}"}))


def places(value: Any, *path: str) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name in value:
            yield (*path, name)
            yield from places(value[name], *path, name)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=220)
    | st.sampled_from(["2026-01-02T03:04:05Z", "-1.5", "top", "facebook", "Desktop", "\n", "1\n"]),
    lambda values: (
        st.lists(values, max_size=2)
        | st.dictionaries(st.sampled_from(["userId", "x", "country"]), values, max_size=2)
    ),
    max_leaves=3,
)


@st.composite
def changed_events(draw: st.DrawFn) -> bytes:
    """Draw the text of an event of which something is changed, left out, added or repeated."""
    event = orjson.loads(orjson.dumps(draw(st.sampled_from(ONE_OF_A_KIND))))
    *parents, name = draw(st.sampled_from(list(places(event))))
    place = event
    for parent in parents:
        place = place[parent]
    match draw(st.sampled_from(["change", "remove", "add", "repeat", "break"])):
        case "change":
            place[name] = draw(JSON_VALUES)
        case "remove":
            del place[name]
        case "add":
            place[draw(st.text(max_size=5))] = draw(JSON_VALUES)
        case "repeat":
            text = orjson.dumps(place)
            key, value = orjson.dumps(name), json.dumps(draw(JSON_VALUES)).encode()
            twice = text[:-1] + b"," + key + b":" + value + b"}"
            return orjson.dumps(event).replace(text, twice)
        case _:
            text = bytearray(orjson.dumps(event))
            at = draw(st.integers(0, len(text) - 1))
            text[at : at + 1] = draw(st.binary(max_size=2) | st.sampled_from([b"\\", b" ", b"e"]))
            return bytes(text)
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 1]))
    return json.dumps(event, ensure_ascii=ascii_only, indent=indent).encode(errors="replace")
