"""What a function answers besides what becomes of its messages."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.connector.delivery.response import Failed, Response, Success, classify
from infra.connector.delivery.results import Result

IDS = {"S:1": ["S:1"], "S:2": ["S:2"]}
JSON = {"Content-Type": "application/json"}


def batch(answer: Any, *, results: bool = True) -> Response:
    return classify(200, {}, json.dumps(answer).encode(), IDS, batch=True, now=0.0, results=results)


def single(status: int, headers: dict[str, str], body: bytes, *, results: bool = True) -> Response:
    ids = {"S:1": ["S:1"]}
    return classify(status, headers, body, ids, batch=False, now=0.0, results=results)


def test_the_body_of_a_single_answer_is_the_result() -> None:
    headers = {"Content-Type": "text/csv", "Ce-Type": "bill", "Traceparent": "00-1", "Server": "x"}
    kept = {"Content-Type": "text/csv", "ce-type": "bill", "traceparent": "00-1"}
    expected = Success(results={"S:1": (Result(b"a;b", kept),)})
    assert single(200, headers, b"a;b") == expected
    assert single(202, headers | {"Universe-Disposition": "done"}, b"a;b") == expected
    assert single(200, {}, b"") == Success(results={"S:1": ()})
    assert single(200, headers, b"a;b", results=False) == Success()
    for disposition in ("dead", "retry", "defer"):
        answer = single(200, {"Universe-Disposition": disposition}, b"a;b")
        assert isinstance(answer, Success)
        assert not answer.results
    assert isinstance(single(500, headers, b"a;b"), Failed)


def test_items_of_a_batch_have_results() -> None:
    answer = {
        "batchItemFailures": [{"itemIdentifier": "S:2", "disposition": "dead", "events": EVENTS}],
        "batchItemResults": [
            {"itemIdentifier": "S:1", "data": {"total": 10**30}, "headers": {"Tenant": "a"}},
            {"itemIdentifier": "S:1", "data": "plain", "datacontenttype": "text/plain"},
            {"itemIdentifier": "S:2", "data": "text"},
            {"itemIdentifier": "S:2", "data_base64": base64.b64encode(b"\0\xff").decode()},
        ],
    }
    understood = batch(answer)
    assert isinstance(understood, Success)
    assert understood.results == {
        "S:1": (
            Result(f'{{"total":{10**30}}}'.encode(), {"Tenant": "a", **JSON}),
            Result(b"plain", {"Content-Type": "text/plain"}),
        ),
        "S:2": (Result(b'"text"', JSON), Result(b"\0\xff")),
    }
    assert batch(answer, results=False) == Success(dead_events=understood.dead_events)
    assert batch({"other": 1}) == Success()


EVENTS = [{"index": 0, "reason": "no"}]


@pytest.mark.parametrize(
    "result",
    [
        1,
        {},
        {"itemIdentifier": "S:9", "data": 1},
        {"itemIdentifier": "S:1"},
        {"itemIdentifier": "S:1", "data_base64": "?"},
        {"itemIdentifier": "S:1", "data_base64": 1},
        {"itemIdentifier": "S:1", "data": float("nan")},
        {"itemIdentifier": "S:1", "data": 1, "datacontenttype": 2},
        {"itemIdentifier": "S:1", "data": 1, "headers": {"Nats-Rollup": "all"}},
        {"itemIdentifier": "S:1", "data": 1, "headers": {"a b": ""}},
        {"itemIdentifier": "S:1", "data": 1, "headers": []},
    ],
)
def test_results_that_do_not_follow_the_contract_fail_the_batch(result: Any) -> None:
    assert isinstance(batch({"batchItemResults": [result]}), Failed)


@pytest.mark.parametrize("disposition", ["retry", "defer", "dead"])
def test_only_what_is_done_has_a_result(disposition: str) -> None:
    failure = {"itemIdentifier": "S:1", "disposition": disposition}
    result = {"itemIdentifier": "S:1", "data": 1}
    answer = batch({"batchItemFailures": [failure], "batchItemResults": [result]})
    assert isinstance(answer, Failed)
    assert "S:1 has a result and is not done" in answer.reason


plain = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.just("S:1")
fields = st.dictionaries(
    st.sampled_from(["itemIdentifier", "data", "data_base64", "datacontenttype", "headers"]),
    plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=3), plain, max_size=2),
)


@settings(max_examples=25)
@given(st.lists(fields, max_size=2))
def test_any_json_is_taken_for_results_or_for_malformed(items: Any) -> None:
    answer = batch({"batchItemResults": items})
    assert isinstance(answer, Success | Failed)
    if isinstance(answer, Success):
        for result in (each for some in answer.results.values() for each in some):
            assert isinstance(result.data, bytes)
            assert not any("\n" in text or "\r" in text for text in result.headers.values())
