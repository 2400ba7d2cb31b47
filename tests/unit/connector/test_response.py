"""What a function's response means."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from infra.connector.delivery.response import (
    DeadEvent,
    Failed,
    Fault,
    Rejected,
    Response,
    Retry,
    Success,
    Unavailable,
    classify,
    retry_after,
)

NOW = 1_800_000_000.0
IDS = {name: [name] for name in ("EVENTS:1", "EVENTS:2", "EVENTS:3")}


def read(status: int, body: bytes | Any = b"", *, batch: bool = True, **headers: str) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return classify(status, fields, data, IDS, batch=batch, now=NOW)


def failures(*items: Any) -> dict[str, Any]:
    return {"batchItemFailures": list(items)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \r\n",
        b"null",
        b"{}",
        b'{"batchItemFailures": []}',
        b'{"batchItemFailures": null}',
        b'{"stored": 17}',
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_all_done(status: int, body: bytes) -> None:
    assert read(status, body) == Success()


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"itemIdentifier": "EVENTS:1"}, Retry("the function asks to retry")),
        (
            {"itemIdentifier": "EVENTS:1", "disposition": "retry"},
            Retry("the function asks to retry"),
        ),
        ({"itemIdentifier": "EVENTS:1", "reason": "locked"}, Retry("locked")),
        ({"itemIdentifier": "EVENTS:1", "reason": "x", "retryAfter": 2}, Retry("x", 2.0)),
        ({"itemIdentifier": "EVENTS:1", "reason": "x", "retryAfter": 0}, Retry("x", 0.0)),
        ({"itemIdentifier": "EVENTS:1", "reason": {"a": 1}}, Retry('{"a": 1}')),
    ],
)
def test_retry(item: dict[str, Any], expected: Retry) -> None:
    assert read(200, failures(item)) == Success(retry={"EVENTS:1": expected})


def test_deferred_message() -> None:
    item = {"itemIdentifier": "EVENTS:1", "disposition": "defer"}
    expected = {"EVENTS:1": Retry("the function defers it")}
    assert read(200, failures(item)) == Success(deferred=expected)
    expected = {"EVENTS:1": Retry("later", 20.5)}
    assert read(200, failures({**item, "reason": "later", "retryAfter": 20.5})) == Success(
        deferred=expected
    )


def test_dead_message() -> None:
    item = {"itemIdentifier": "EVENTS:2", "disposition": "dead", "reason": "no"}
    assert read(200, failures(item)) == Success(dead={"EVENTS:2": "no"})
    assert read(200, failures({**item, "events": []})) == Success(dead={"EVENTS:2": "no"})
    assert read(200, failures({**item, "reason": None})) == Success(
        dead={"EVENTS:2": "the function gave no reason"}
    )


def test_dead_events_are_sorted_and_single() -> None:
    item = {
        "itemIdentifier": "EVENTS:2",
        "disposition": "dead",
        "reason": "for all",
        "events": [
            {"index": 7, "eventId": "g", "reason": "bad"},
            {"index": 2, "eventId": 5},
            {"index": 7, "eventId": "g", "reason": "worse"},
        ],
    }
    assert read(200, failures(item)) == Success(
        dead_events={
            "EVENTS:2": (DeadEvent(2, None, "for all"), DeadEvent(7, "g", "worse")),
        }
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>log in</html>", "it is not JSON: <html>log in</html>"),
        (b"\xff\xfe", "it is not JSON"),
        (b'{"batchItemFailures": [', "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "not a JSON object"),
        (b'"ok"', "not a JSON object"),
        (b"true", "not a JSON object"),
        ({"batchItemFailures": "EVENTS:1"}, "batchItemFailures is not an array"),
        ({"batchItemFailures": {"a": 1}}, "batchItemFailures is not an array"),
        (failures("EVENTS:1"), "an item of batchItemFailures is not an object"),
        (failures({}), "unknown item 'None'"),
        (failures({"itemIdentifier": None}), "unknown item 'None'"),
        (failures({"itemIdentifier": ""}), "unknown item ''"),
        (failures({"itemIdentifier": 1}), "unknown item '1'"),
        (failures({"itemIdentifier": ["EVENTS:1"]}), "unknown item"),
        (failures({"itemIdentifier": "EVENTS:4"}), "unknown item 'EVENTS:4'"),
        (failures({"itemIdentifier": "EVENTS:1"}, {"itemIdentifier": "EVENTS:1"}), "twice"),
        (
            failures({"itemIdentifier": "EVENTS:1", "disposition": "drop"}),
            "unknown disposition 'drop'",
        ),
        (
            failures({"itemIdentifier": "EVENTS:1", "disposition": "dead", "events": "x"}),
            "events is not an array",
        ),
        (
            failures({"itemIdentifier": "EVENTS:1", "disposition": "dead", "events": [{}]}),
            "no index",
        ),
        (
            failures({"itemIdentifier": "EVENTS:1", "disposition": "dead", "events": [3]}),
            "no index",
        ),
        (
            failures(
                {"itemIdentifier": "EVENTS:1", "disposition": "dead", "events": [{"index": -1}]}
            ),
            "no index",
        ),
        (
            failures(
                {"itemIdentifier": "EVENTS:1", "disposition": "dead", "events": [{"index": True}]}
            ),
            "no index",
        ),
        (failures({"itemIdentifier": "EVENTS:1", "retryAfter": "5"}), "not a number of seconds"),
        (failures({"itemIdentifier": "EVENTS:1", "retryAfter": -1}), "not a number of seconds"),
        (failures({"itemIdentifier": "EVENTS:1", "retryAfter": True}), "not a number of seconds"),
    ],
)
def test_malformed_responses_fail_the_whole_batch(body: Any, why: str) -> None:
    response = read(200, body)
    assert isinstance(response, Failed)
    assert response.fault is Fault.ERROR
    assert response.reason.startswith("malformed response: ")
    assert why in response.reason


@pytest.mark.parametrize("body", [b"OK", b"<html>", b'{"batchItemFailures": 3}', b"[1]"])
def test_single_delivery_takes_any_2xx_for_done(body: bytes) -> None:
    assert read(200, body, batch=False) == Success()


@pytest.mark.parametrize("status", [408, 425, 429, 503, 301, 302, 307, 304, 100])
def test_unavailable(status: int) -> None:
    busy = status == 429
    assert read(status) == Unavailable(f"HTTP {status}", busy=busy)
    assert read(status, Retry_After="7") == Unavailable(f"HTTP {status}", 7.0, busy=busy)


@pytest.mark.parametrize("status", [500, 501, 505, 507, 599])
def test_errors(status: int) -> None:
    assert read(status, b"oh\n  no") == Failed(Fault.ERROR, f"HTTP {status}: oh no")


def test_what_a_gateway_says_of_a_function() -> None:
    assert read(502) == Failed(Fault.CRASH, "HTTP 502")
    assert read(504) == Failed(Fault.TIMEOUT, "HTTP 504")
    internal: Any = {"X_OpenFaaS_Internal": "proxy"}
    assert read(500, b"Can't reach", **internal) == Failed(Fault.CRASH, "HTTP 500: Can't reach")
    unseen = Unavailable("HTTP 404: no such", reached=False)
    assert read(404, b"no such", **internal) == unseen
    unseen = Unavailable("HTTP 503: No endpoints", reached=False)
    assert read(503, b"No endpoints", **internal) == unseen


def test_an_empty_200_of_a_gateway_whose_start_from_zero_timed_out_is_no_success() -> None:
    assert isinstance(read(200, X_Start_Time="1"), Unavailable)
    assert isinstance(read(200, batch=False, X_Start_Time="1"), Unavailable)
    assert read(200, X_Start_Time="1", Content_Type="text/plain") == Success()
    assert read(200, X_Start_Time="1", X_Duration_Seconds="0.1") == Success()
    assert read(202, X_Start_Time="1") == Success()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 499])
def test_rejected(status: int) -> None:
    assert read(status, b"why") == Rejected(status, f"HTTP {status}: why")


def test_long_bodies_are_quoted_in_part() -> None:
    response = read(500, b"x" * 100_000)
    assert isinstance(response, Failed)
    assert len(response.reason) < 250


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Fri, 15 Jan 2027 08:00:10 GMT", 10.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("9" * 5000, 999999999.0),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    assert retry_after(value, NOW) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "itemIdentifier": st.sampled_from([*IDS, "EVENTS:9", ""]) | JSON,
        "disposition": st.sampled_from(["retry", "dead", "x"]) | JSON,
        "reason": JSON,
        "retryAfter": JSON,
        "events": st.lists(
            st.fixed_dictionaries({}, optional={"index": JSON, "eventId": JSON, "reason": JSON})
        )
        | JSON,
    },
)


@given(st.integers(100, 599), st.binary(max_size=50), st.booleans(), st.text(max_size=20))
def test_any_bytes_have_a_meaning(status: int, body: bytes, batch: bool, after: str) -> None:
    response = classify(status, {"Retry-After": after}, body, IDS, batch=batch, now=NOW)
    assert isinstance(response, Success | Failed | Rejected | Unavailable)


@given(st.lists(ITEM, max_size=4) | JSON)
def test_any_json_is_taken_for_what_it_says_or_for_malformed(items: Any) -> None:
    response = read(200, {"batchItemFailures": items})
    if isinstance(response, Success):
        named = [*response.retry, *response.dead, *response.dead_events]
        assert len(named) == len(set(named)) == len(items or [])
        assert set(named) <= set(IDS)
        for events in response.dead_events.values():
            assert events
            assert all(event.reason for event in events)
        assert all(response.dead.values())
    else:
        assert isinstance(response, Failed)


def test_an_id_that_several_messages_have_names_all_of_them() -> None:
    ids = {"EVENTS:1": ["EVENTS:1"], "EVENTS:2": ["EVENTS:2"], "mine": ["EVENTS:1", "EVENTS:2"]}
    twice = {"itemIdentifier": "mine", "disposition": "dead", "reason": "no"}
    body = json.dumps({"batchItemFailures": [twice, twice]}).encode()
    response = classify(200, {}, body, ids, batch=True, now=NOW)
    assert response == Success(dead={"EVENTS:1": "no", "EVENTS:2": "no"})


# Single delivery


@pytest.mark.parametrize("status", [200, 422, 500, 503])
@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Universe_Disposition": "done"}, b"", Success()),
        (
            {"Universe_Disposition": "dead"},
            b"no such\n order",
            Success(dead={"S:1": "no such order"}),
        ),
        (
            {"Universe_Disposition": " Dead ", "Universe_Reason": "gone"},
            b"text",
            Success(dead={"S:1": "gone"}),
        ),
        (
            {"Universe_Disposition": "dead"},
            b"",
            Success(dead={"S:1": "the function gave no reason"}),
        ),
        (
            {"Universe_Disposition": "retry", "Retry_After": "7"},
            b"locked",
            Success(retry={"S:1": Retry("locked", 7.0)}),
        ),
        (
            {"Universe_Disposition": "retry"},
            b"",
            Success(retry={"S:1": Retry("the function asks to retry", None)}),
        ),
        (
            {"Universe_Disposition": "defer", "Retry_After": "60"},
            b"",
            Success(deferred={"S:1": Retry("the function defers it", 60.0)}),
        ),
    ],
)
def test_a_header_says_what_becomes_of_a_single_message(
    status: int, headers: dict[str, str], body: bytes, expected: Response
) -> None:
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    assert classify(status, fields, body, {"1": ["S:1"]}, batch=False, now=NOW) == expected


def test_that_header_counts_for_nothing_else() -> None:
    headers = {"Universe_Disposition": "dead"}
    assert read(200, batch=True, **headers) == Success()
    from_gateway = read(503, batch=False, X_OpenFaaS_Internal="gateway", **headers)
    assert isinstance(from_gateway, Unavailable)
    fields = CIMultiDict({"Universe-Disposition": "later"})
    unknown = classify(200, fields, b"", {"1": ["S:1"]}, batch=False, now=NOW)
    assert unknown == Failed(Fault.ERROR, "malformed response: unknown disposition 'later'")
