"""Filters: what matches, what does not, and what is no filter."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.connector.delivery.filters import MAX_CONDITIONS, MAX_LOOKS, parse_filter
from infra.connector.delivery.message import Message, MessageKey, inspect_payload


def message(data: Any, subject: str = "orders.eu.de", **headers: str) -> Message:
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    is_json, events = inspect_payload(payload)
    return Message(
        key=MessageKey(1, 1),
        id="S:1",
        subject=subject,
        reply="",
        data=payload,
        headers=headers,
        events=events,
        is_json=is_json,
        delivered=1,
    )


def matches(pattern: Any, *arguments: Any, **headers: str) -> bool:
    return parse_filter(json.dumps(pattern)).matches(message(*arguments, **headers))


@pytest.mark.parametrize(
    ("conditions", "good", "bad"),
    [
        (["a", "b"], ["a", "b", ["x", "b"]], ["c", "", None, 1, [], {}, ["x"]]),
        ([1], [1, 1.0], [True, "1", 2]),
        ([True, None], [True, None], [1, False, "true", "null"]),
        ([{"prefix": "ab"}], ["ab", "abc"], ["a", "xab", 1, None]),
        ([{"suffix": "bc"}], ["bc", "abc"], ["bcx", 1]),
        ([{"equals-ignore-case": "Ab"}], ["ab", "AB"], ["a", 1]),
        ([{"anything-but": ["a", 1]}], ["b", 2, None, True], ["a", 1]),
        ([{"anything-but": "a"}], ["b"], ["a"]),
        ([{"anything-but": {"prefix": "a"}}], ["b", 1], ["a", "ab"]),
        ([{"numeric": [">", 0, "<=", 5]}], [1, 5, 0.1], [0, 5.1, "1", None, True]),
        ([{"numeric": ["=", 3]}], [3, 3.0], [4]),
        ([{"exists": True}], ["", None, 0, [], {}], []),
        (["a", {"numeric": [">=", 10]}], ["a", 10], ["b", 9]),
    ],
)
def test_conditions(conditions: list[Any], good: list[Any], bad: list[Any]) -> None:
    pattern = {"data": {"x": {"y": conditions}}}
    assert [value for value in good if not matches(pattern, {"x": {"y": value}})] == []
    assert [value for value in bad if matches(pattern, {"x": {"y": value}})] == []
    for missing in ({}, {"x": 1}, {"x": {}}, [], "text"):
        assert not matches(pattern, missing)
    assert not matches(pattern, b"no JSON")


def test_what_is_missing_matches_where_that_is_asked_for() -> None:
    pattern = {"data": {"x": [{"exists": False}, "a"]}}
    assert matches(pattern, {})
    assert matches(pattern, {"x": "a"})
    assert not matches(pattern, {"x": "b"})


def test_all_fields_and_one_of_the_alternatives() -> None:
    pattern = {
        "subject": [{"prefix": "orders.eu."}],
        "headers": {"tenant": ["acme"], "Size": [{"numeric": [">", 9]}]},
        "data": {"kind": ["new"], "$or": [{"total": [{"numeric": [">", 5]}]}, {"vip": [True]}]},
    }
    headers = {"Tenant": "acme", "size": "10"}
    good = {"kind": "new", "total": 6}
    assert matches(pattern, good, **headers)
    assert matches(pattern, {"kind": "new", "vip": True}, **headers)
    assert not matches(pattern, {"kind": "new", "total": 5}, **headers)
    assert not matches(pattern, {"kind": "old", "total": 6}, **headers)
    assert not matches(pattern, good, "orders.us", **headers)
    assert not matches(pattern, good, **headers | {"size": "9"})
    assert not matches(pattern, good, **headers | {"size": "many"})
    assert not matches(pattern, good)


def test_one_of_several_events_is_enough() -> None:
    pattern = {"data": {"a": [1], "b": [2]}}
    assert matches(pattern, [{"a": 0}, {"a": 1, "b": 2}])
    assert not matches(pattern, [{"a": 1, "b": 0}, {"a": 0, "b": 2}])


def test_the_work_for_one_message_is_bounded() -> None:
    choices = [{f"x{n}": [{"prefix": "a"}]} for n in range(MAX_CONDITIONS - 1)]
    pattern = {"data": {"$or": choices, "y": [{"exists": True}]}}
    assert not matches(pattern, [{"y": 1}] * 10)
    assert matches(pattern, [{"y": 1}] * MAX_LOOKS), "it is delivered, since it was not looked at"
    assert not matches({"data": ["x"]}, b"1" + b"0" * 5000), "a number that Python does not read"
    assert not matches({"data": {"x": [2]}}, {"x": 10**30})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "a JSON object with"),
        ("{}", "a JSON object with"),
        ('{"body": {}}', "not 'body'"),
        ('{"data": 1}', "data is not an object"),
        ('{"data": {}}', "data is not an object"),
        ('{"data": {"a": "b"}}', "data.a is not an object"),
        ('{"data": {"a": []}}', "data.a is not a list"),
        ('{"data": {"a": [[1]]}}', "data.a: a list in a list"),
        ('{"data": {"a": [{}]}}', "data.a: a condition has one operator"),
        ('{"data": {"a": [{"like": "x"}]}}', "unknown operator 'like'"),
        ('{"data": {"a": [{"prefix": 1}]}}', "prefix is a text"),
        ('{"data": {"a": [{"exists": 1}]}}', "exists is true or false"),
        ('{"data": {"a": [{"numeric": [">"]}]}}', "numeric is a list such as"),
        ('{"data": {"a": [{"numeric": ["~", 1]}]}}', "numeric is a list such as"),
        ('{"data": {"a": [{"numeric": [[], 1]}]}}', "numeric is a list such as"),
        ('{"data": {"a": [{"anything-but": []}]}}', "anything-but takes"),
        ('{"data": {"a": [{"anything-but": {"numeric": 1}}]}}', "anything-but takes"),
        ('{"data": {"$or": {}}}', "data.$or is not a list of patterns"),
        ('{"headers": {"a": {"b": ["c"]}}}', "headers.a is not a list"),
        ('{"headers": ["a"]}', "headers is not an object"),
        ('{"subject": "a"}', "subject is not a list"),
        ('{"data": {"a": [' + "1," * MAX_CONDITIONS + "1]}}", "at most 100 conditions"),
        ('{"data": {"a": ["' + "x" * 9000 + '"]}}', "at most 8192 bytes"),
        ('{"data":' + '{"a":' * 20 + "[1]" + "}" * 20 + "}", "too deep"),
    ],
)
def test_what_is_no_filter(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_filter(text)
    assert why in str(raised.value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$or", "prefix", "numeric", "exists", "anything-but"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(["data", "headers", "subject"]), anything, min_size=1), anything
)
def test_anything_is_a_filter_or_refused_and_matches_or_not(pattern: Any, data: Any) -> None:
    try:
        found = parse_filter(json.dumps(pattern))
    except ValueError:
        return
    assert found.matches(message(data)) in (True, False)
