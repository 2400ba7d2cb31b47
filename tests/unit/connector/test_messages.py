"""Subjects, payloads, CloudEvents and dead letters."""

import base64
import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.connector.delivery.message import (
    AckTokens,
    Message,
    MessageKey,
    inspect_payload,
    parse_ack_subject,
    split_array,
)
from infra.connector.delivery.response import DeadEvent
from infra.connector.dlq.publisher import (
    DeadLetterRoute,
    dead_letters_for_events,
    dead_letters_for_message,
)
from infra.connector.http.cloudevents import (
    JSON_TYPE,
    batch_body,
    content_type,
    event_time,
    header_value,
    identifiers,
    request_headers,
)
from infra.connector.http.headers import shared_trace
from infra.connector.jetstream.subjects import covers, is_subject, overlap, parse_topics
from tests.support import kinds

ROUTE = DeadLetterRoute("fn.ns", "fn", "EVENTS", "EVENTS_DLQ", "dlq.{subject}")

SOURCE = "/jetstream/EVENTS/process-batch"


def message(data: bytes, sequence: int = 42, **headers: str) -> Message:
    is_json, events = inspect_payload(data)
    return Message(
        key=MessageKey(sequence, 1_700_000_000_123_456_789),
        id=f"EVENTS:{sequence}",
        subject="events.facebook",
        reply="$JS.ACK...",
        data=data,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        events=events,
        is_json=is_json,
        delivered=2,
        calls=1,
    )


# Subjects

TOKENS = st.sampled_from(["a", "b", "*"])
SUBJECTS = st.tuples(st.lists(TOKENS, min_size=1, max_size=4), st.booleans()).map(
    lambda pair: ".".join([*pair[0], ">"] if pair[1] else pair[0])
)
CONCRETE = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6).map(".".join)


def matches(pattern: str, subject: str) -> bool:
    wanted, given_tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(given_tokens) <= len(wanted):
            return False
        given_tokens = given_tokens[: len(wanted)]
    return len(wanted) == len(given_tokens) and all(
        a in ("*", b) for a, b in zip(wanted, given_tokens, strict=True)
    )


@pytest.mark.parametrize("text", ["a", "a.b", "*", ">", "a.*.c", "a.>", "events.face-book_1", "é"])
def test_subjects(text: str) -> None:
    assert is_subject(text)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a.>.b", "a b", "a*", "a.b>", "a\n"])
def test_no_subjects(text: str) -> None:
    assert not is_subject(text)


@given(SUBJECTS, SUBJECTS, CONCRETE)
def test_covers_and_overlap_agree_with_matching(one: str, other: str, subject: str) -> None:
    assert covers(one, subject) == matches(one, subject)
    if covers(one, other) and matches(other, subject):
        assert matches(one, subject)
    if matches(one, subject) and matches(other, subject):
        assert overlap(one, other)
    assert overlap(one, other) == overlap(other, one)
    if covers(one, other):
        assert overlap(one, other)
    assert covers(one, one)


def test_overlap_of_different_lengths() -> None:
    assert not overlap("a.b", "a.b.c")
    assert not overlap("a", "a.>")
    assert overlap("a.>", "*.b")
    assert not overlap("a.b.*", "a.c.>")


def test_topics() -> None:
    assert parse_topics("a.b") == ("a.b",)
    assert parse_topics(" a.b, c.>,,a.b") == ("a.b", "c.>")
    assert parse_topics("a.b c.>\n a.b") == ("a.b", "c.>")
    assert parse_topics("events.facebook,events.>,events.*") == ("events.>",)
    for text in ("", " , ", "a. b", "a..b,c"):
        with pytest.raises(ValueError, match=r"no topic|not a NATS subject"):
            parse_topics(text)


# Reply subjects


def test_reply_subjects() -> None:
    expected = AckTokens(3, 1042, 9, 1700, 17)
    assert parse_ack_subject("$JS.ACK.EVENTS.fn.3.1042.9.1700.17") == expected
    assert parse_ack_subject("$JS.ACK.hub.ACCOUNT.EVENTS.fn.3.1042.9.1700.17") == expected
    assert parse_ack_subject("$JS.ACK.hub.ACCOUNT.EVENTS.fn.3.1042.9.1700.17.x") == expected
    for text in ("", "_INBOX.x", "$JS.ACK.EVENTS.fn.3", "$JS.ACK.E.f.a.b.c.d.e"):
        with pytest.raises(ValueError, match=r"reply subject|invalid literal"):
            parse_ack_subject(text)


# Payloads


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", (True, 1)),
        (b"[]", (True, 1)),
        (b"[1,2,3]", (True, 3)),
        (b" [ {} , {} ] ", (True, 2)),
        (b"17", (True, 1)),
        (b"", (False, 1)),
        (b"hello", (False, 1)),
        (b"\xff", (False, 1)),
        (b'{"a":NaN}', (False, 1)),
        (b'{"a":1}{"b":2}', (False, 1)),
        (b'{"a":1}\n{"b":2}', (False, 1)),
        (b'"\xc3"', (False, 1)),
        (b'\xef\xbb\xbf{"a":1}', (False, 1)),
        (b"[" * 100_000, (False, 1)),
        (b'[{"a":1e400},{"b":2}]', (True, 2)),
        (b"[" + b"1" * 5000 + b",2]", (True, 2)),
        (b'["\\ud800",2]', (True, 2)),
        (b"[1e400,NaN]", (False, 1)),
    ],
)
def test_payloads(data: bytes, expected: tuple[bool, int]) -> None:
    assert inspect_payload(data) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(
    JSON | st.lists(JSON, max_size=4),
    st.booleans(),
    st.floats(0, 1),
    st.sampled_from([b"", b"\\", b'"', b"\xff", b"\x01", b",", b"]", b"0", b"-", b".", b"e", b"{"]),
    st.sampled_from([0, 1]),
)
@settings(max_examples=kinds.examples(quick=30))
def test_payloads_are_json_or_not_as_python_says(
    value: Any, ascii_only: bool, place: float, put: bytes, cut: int
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    at = int(place * len(text))
    data = text[:at] + put + text[at + cut :]
    try:
        parsed = json.loads(data.decode(), parse_constant=_refuse)
    except ValueError:
        expected = False, 1
    else:
        expected = True, max(len(parsed), 1) if isinstance(parsed, list) else 1
    assert inspect_payload(data) == expected


def _refuse(constant: str) -> None:
    raise ValueError(constant)


@given(st.lists(JSON, min_size=1), st.sampled_from([None, 2]), st.booleans())
def test_elements_of_an_array_keep_their_bytes(
    elements: list[Any], indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    found = split_array(data)
    assert [json.loads(part) for part in found] == elements
    place = 0
    for part in found:
        place = data.index(part, place) + len(part)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"[1,", b"x", b" 5 ", b"\xff", b"[1 2]x"])
def test_what_is_no_array_is_its_own_element(data: bytes) -> None:
    assert split_array(data) in ([data], [b"1", b"2"])


def test_elements_may_be_numbers_of_any_length() -> None:
    assert split_array(b"[" + b"1" * 5000 + b",2]") == [b"1" * 5000, b"2"]


def test_elements_keep_numbers_as_they_were_written() -> None:
    assert split_array(b'[1.10, {"a": 1e2 }, "\xc3\xa4"]') == [
        b"1.10",
        b'{"a": 1e2 }',
        b'"\xc3\xa4"',
    ]


# CloudEvents


def test_a_batch_holds_payloads_as_they_are() -> None:
    odd = b'{"amount": 1.10, "b":   [1e5], "text": "\xc3\xa4 \\u00e4"}'
    body = batch_body([message(odd, 1, X_Call_Id="c1"), message(b"[{},{}]", 2)], SOURCE)
    assert odd in body
    first, second = json.loads(body)
    assert first == {
        "specversion": "1.0",
        "id": "EVENTS:1",
        "source": SOURCE,
        "type": "universe.jetstream.message",
        "subject": "events.facebook",
        "time": "2023-11-14T22:13:20.123456Z",
        "datacontenttype": "application/json",
        "deliverycount": 2,
        "callid": "c1",
        "headers": {"X-Call-Id": "c1"},
        "data": {"amount": 1.1, "b": [1e5], "text": "ä ä"},
    }
    assert second["data"] == [{}, {}]
    assert not {"callid", "headers"} & second.keys()


def test_what_is_not_json_goes_as_base64() -> None:
    (event,) = json.loads(batch_body([message(b"\xff\x00", Content_Type="image/x")], SOURCE))
    assert base64.b64decode(event["data_base64"]) == b"\xff\x00"
    assert event["datacontenttype"] == "image/x"
    assert "data" not in event
    (event,) = json.loads(batch_body([message(b"")], SOURCE))
    assert (event["data_base64"], event["datacontenttype"]) == ("", "application/octet-stream")


@given(st.lists(st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()), max_size=6))
def test_any_payloads_make_a_valid_batch(payloads: list[bytes]) -> None:
    body = batch_body([message(data, n) for n, data in enumerate(payloads)], SOURCE)
    events = orjson.loads(body)
    assert [event["id"] for event in events] == [f"EVENTS:{n}" for n in range(len(payloads))]
    for event, data in zip(events, payloads, strict=True):
        if "data" in event:
            assert event["data"] == orjson.loads(data)
        else:
            assert base64.b64decode(event["data_base64"]) == data


@given(st.text(max_size=20), st.text(max_size=20))
def test_headers_do_not_break_a_batch(call_id: str, content_type: str) -> None:
    given_message = message(b"x", X_Call_Id=call_id, Content_Type=content_type)
    try:
        (event,) = orjson.loads(batch_body([given_message], SOURCE))
    except TypeError:  # lone surrogates cannot come from a NATS header
        return
    assert event.get("callid", "") == call_id


def test_calls_of_this_connector_count_as_deliveries() -> None:
    again = message(b"{}")
    again.calls = 3
    (event,) = json.loads(batch_body([again], SOURCE))
    assert event["deliverycount"] == 4


def test_binary_mode() -> None:
    assert request_headers(message(b"{}", X_Call_Id="c,d"), SOURCE) == {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "EVENTS:42",
        "ce-source": SOURCE,
        "ce-type": "universe.jetstream.message",
        "ce-subject": "events.facebook",
        "ce-time": "2023-11-14T22:13:20.123456Z",
        "ce-deliverycount": "2",
        "ce-callid": "c,d",
        "X-Topic": "events.facebook",
    }


CLOUD_EVENT = {
    "ce-specversion": "1.0",
    "ce-id": "o%207",
    "ce-source": "/shop",
    "ce-type": "com.acme.order",
    "CE-Tenant": "a",
    "ce-data": "no attribute",
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_message_that_is_a_cloud_event_stays_one() -> None:
    given_message = replace(message(b"[1]"), headers=CLOUD_EVENT)
    (event,) = json.loads(batch_body([given_message], SOURCE))
    wanted = {"id": "o 7", "source": "/shop", "type": "com.acme.order", "tenant": "a", "data": [1]}
    assert event.items() >= wanted.items()
    assert event["messageid"] == "EVENTS:42"
    assert event["topic"] == event["subject"] == "events.facebook"
    assert event["headers"] == CLOUD_EVENT
    assert identifiers(given_message) == ("EVENTS:42", "o 7")
    headers = request_headers(given_message, SOURCE)
    assert headers["ce-id"] == "o%207"
    assert (headers["ce-source"], headers["ce-type"]) == ("/shop", "com.acme.order")
    assert (headers["ce-messageid"], headers["ce-deliverycount"]) == ("EVENTS:42", "2")
    assert "CE-Tenant" not in headers, "in lower case"


def test_a_structured_cloud_event_keeps_its_bytes() -> None:
    payload = b' { "specversion": "1.0","id":"7","source":"/s","type":"t", "data": {"n": 1.10e2}}'
    given_message = message(payload, Content_Type="application/cloudevents+json; charset=utf-8")
    body = batch_body([given_message], SOURCE)
    assert payload.strip()[1:] in body
    (event,) = json.loads(body)
    assert (event["id"], event["deliverycount"]) == ("7", 2)
    assert event["data"] == {"n": 110.0}
    headers = request_headers(given_message, SOURCE)
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert "ce-id" not in headers
    # one that went through a connector before has such members already
    again = payload.replace(b'"id"', b'"deliverycount": 9, "id"')
    (event,) = json.loads(batch_body([replace(given_message, data=again)], SOURCE))
    assert (event["id"], event["deliverycount"]) == ("7", 2)


@pytest.mark.parametrize("missing", ["ce-specversion", "ce-id", "ce-source", "ce-type"])
def test_half_a_cloud_event_is_none(missing: str) -> None:
    headers = {name: value for name, value in CLOUD_EVENT.items() if name != missing}
    (event,) = json.loads(batch_body([replace(message(b"1"), headers=headers)], SOURCE))
    assert (event["id"], event["source"]) == ("EVENTS:42", SOURCE)
    assert event["type"] == "universe.jetstream.message"
    assert "messageid" not in event


def test_which_headers_reach_the_function() -> None:
    sent = {
        "Tenant": "\u00e4, b",
        "traceparent": TRACE,
        "x-topic": "forged",
        "Universe-Signature": "forged",
        "Transfer-Encoding": "chunked",
        "Content-Length": "7",
        "not a token": "x",
        "Line": "a\r\nX-Other: b",
    }
    headers = request_headers(replace(message(b"1"), headers=sent), SOURCE)
    assert headers["Tenant"] == "%C3%A4, b"
    assert headers["traceparent"] == TRACE
    assert headers["Line"] == "a%0D%0AX-Other: b"
    assert headers["X-Topic"] == "events.facebook"
    assert (
        not {"x-topic", "Universe-Signature", "Transfer-Encoding", "not a token"} & headers.keys()
    )
    (event,) = json.loads(batch_body([replace(message(b"1"), headers=sent)], SOURCE))
    assert event["headers"] == sent
    assert event["traceparent"] == TRACE


def test_a_batch_of_one_trace_is_in_it() -> None:
    one, other = (message(b"1", traceparent=TRACE + end) for end in ("", "x"))
    assert shared_trace([one, one]) == {"traceparent": TRACE}
    assert shared_trace([one, other]) == shared_trace([message(b"1")]) == {}


@given(st.text())
def test_header_values_are_printable_ascii(text: str) -> None:
    value = header_value(text)
    assert all(" " < c <= "~" for c in value)
    assert header_value("plain/text:1") == "plain/text:1"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_999, "1970-01-01T00:00:00.000001Z"),
        (4_102_444_800_000_000_000, "2100-01-01T00:00:00.000000Z"),
    ],
)
def test_times(nanoseconds: int, text: str) -> None:
    assert event_time(nanoseconds) == text


# Dead letters


def test_a_header_that_cannot_be_sent_goes_under_another_name() -> None:
    dead = replace(message(b"{}"), headers={"foo/bar": "1", "X-Fine": "2"})
    (letter,) = dead_letters_for_message(dead, "why", 1, ROUTE)
    assert letter.headers["Dlq-Original-foo%2Fbar"] == "1"
    assert letter.headers["X-Fine"] == "2"
    assert "foo/bar" not in letter.headers


@pytest.mark.parametrize("given", ["a\nb", "", " ", "t\u00e9xt"])
def test_a_content_type_that_cannot_be_sent_is_not(given: str) -> None:
    assert content_type(replace(message(b"{}"), headers={"Content-Type": given})) == JSON_TYPE


def test_a_whole_message() -> None:
    dead = message(b" {} ", X_Call_Id="c", Nats_Msg_Id="m", Nats_Expected_Stream="EVENTS")
    (letter,) = dead_letters_for_message(dead, "because\nof it", 5, ROUTE)
    assert letter.subject == "dlq.events.facebook"
    assert letter.payload == b" {} "
    headers = dict(letter.headers)
    assert headers.pop("Dlq-Time")
    assert headers == {
        "X-Call-Id": "c",
        "Dlq-Original-Nats-Msg-Id": "m",
        "Dlq-Original-Nats-Expected-Stream": "EVENTS",
        "Dlq-Reason": "because of it",
        "Dlq-Stream": "EVENTS",
        "Dlq-Sequence": "42",
        "Dlq-Function": "fn.ns",
        "Dlq-Consumer": "fn",
        "Dlq-Subject": "events.facebook",
        "Dlq-Attempts": "5",
        "Nats-Msg-Id": "dlq:fn:EVENTS:42:1700000000123456789",
    }


def test_events_of_a_message() -> None:
    dead = message(b'[{"a":1}, {"a": 2.0},{"a":3}]', Event_Count="3")
    letters = dead_letters_for_events(
        dead,
        [DeadEvent(0, None, "x"), DeadEvent(1, "id-1", "y")],
        1,
        replace(ROUTE, subject="dead.{subject}"),
    )
    assert [letter.payload for letter in letters] == [b'{"a":1}', b'{"a": 2.0}']
    assert {letter.subject for letter in letters} == {"dead.events.facebook"}
    assert [letter.headers["Dlq-Reason"] for letter in letters] == ["x", "y"]
    assert letters[1].headers["Dlq-Event-Id"] == "id-1"
    assert letters[1].headers["Event-Count"] == "1"
    identities = [letter.headers["Nats-Msg-Id"] for letter in letters]
    assert identities == [f"dlq:fn:EVENTS:42:1700000000123456789:{n}" for n in (0, 1)]
    assert (
        dead_letters_for_events(dead, [DeadEvent(0, None, "x")], 1, ROUTE)[0].headers["Nats-Msg-Id"]
        == (identities[0])
    ), "the same after a crash"
    with pytest.raises(IndexError):
        dead_letters_for_events(dead, [DeadEvent(3, None, "x")], 1, ROUTE)
    (letter,) = dead_letters_for_events(message(b"text"), [DeadEvent(0, None, "x")], 1, ROUTE)
    assert letter.payload == b"text"
