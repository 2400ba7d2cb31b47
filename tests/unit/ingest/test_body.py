"""Taking request bodies apart."""

import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from functions.common.errors import RequestRefusedError
from functions.common.http.body import ValueCounter, decode_body
from functions.ingest.body import is_ndjson, is_short_object, iter_events
from functions.ingest.settings import IngestSettings
from functions.ingest.validation import EventValidator

LIMIT = 1000


def split_events(body: bytes, *, ndjson: bool, max_events: int) -> list[bytes]:
    return [each for each in iter_events(body, ndjson=ndjson, max_events=max_events) if each]


def refused(status: int, call, *args, **kwargs) -> str:
    with pytest.raises(RequestRefusedError) as caught:
        call(*args, **kwargs)
    assert caught.value.status == status
    return caught.value.detail


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/plain; charset=UTF-8",
        "",
    ],
)
def test_json_content_types(content_type: str) -> None:
    assert is_ndjson(Headers({"content-type": content_type})) is False


def test_ndjson_content_type() -> None:
    assert is_ndjson(Headers({"content-type": "application/x-ndjson"})) is True


@pytest.mark.parametrize(
    "content_type",
    ["text/xml", "multipart/form-data; boundary=x", "application/json; charset=latin1"],
)
def test_other_content_types_are_refused(content_type: str) -> None:
    refused(415, is_ndjson, Headers({"content-type": content_type}))


def test_gzip_with_several_members() -> None:
    assert decode_body(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip", LIMIT) == b"abcd"


def test_gzip_that_grows_beyond_the_limit_is_refused() -> None:
    refused(413, decode_body, gzip.compress(b" " * (LIMIT + 1)), "gzip", LIMIT)
    assert len(decode_body(gzip.compress(b" " * LIMIT), "gzip", LIMIT)) == LIMIT


def test_large_gzip_is_decompressed_part_by_part() -> None:
    body = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(30_000))
    text = body.hex().encode()
    for data in (body, text, text + b" " * 700_000):
        members = gzip.compress(data) + gzip.compress(b"") + gzip.compress(data[:1000])
        assert decode_body(members, "gzip", 10**7) == data + data[:1000]
        assert "truncated" in refused(400, decode_body, members[:-3], "gzip", 10**7)


def test_values_are_counted_before_the_body_is_parsed() -> None:
    body = b'{"a": [1, 2, {"b": "c"}]}'
    for encoding, sent in (("", body), ("gzip", gzip.compress(body))):
        assert decode_body(sent, encoding, LIMIT, ValueCounter(7)) == body
        assert "JSON values" in refused(413, decode_body, sent, encoding, LIMIT, ValueCounter(6))


def test_broken_gzip_is_refused() -> None:
    assert "truncated" in refused(400, decode_body, gzip.compress(b"x" * 500)[:-5], "gzip", LIMIT)
    assert "not valid gzip" in refused(400, decode_body, b"no gzip", "gzip", LIMIT)
    refused(415, decode_body, b"x", "br", LIMIT)


def test_gzip_of_very_many_members_is_refused() -> None:
    assert "members" in refused(400, decode_body, gzip.compress(b"") * 100_000, "gzip", LIMIT)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=8), st.sampled_from([None, 1, 2]), st.booleans())
def test_the_elements_of_any_array_are_found(values, indent, ascii_only) -> None:
    body = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    try:
        body.decode()
    except UnicodeDecodeError:
        return
    elements = split_events(body, ndjson=False, max_events=100)
    assert [json.dumps(json.loads(each)) for each in elements] == [json.dumps(v) for v in values]


def test_elements_keep_their_bytes() -> None:
    body = b' [ {"a" : 1.50, "a":2} ,\n"\\u00e9", 1e999 ] '
    assert split_events(body, ndjson=False, max_events=9) == [
        b'{"a" : 1.50, "a":2}',
        b'"\\u00e9"',
        b"1e999",
    ]


def test_an_element_nested_very_deep_does_not_hide_its_neighbours() -> None:
    deep = b"[" * 50_000 + b'"]"' + b"]" * 50_000
    assert split_events(b"[1," + deep + b",2]", ndjson=False, max_events=9) == [b"1", deep, b"2"]


def test_a_very_long_number_does_not_hide_its_neighbours() -> None:
    assert split_events(b"[1," + b"9" * 5000 + b",2]", ndjson=False, max_events=9)[2] == b"2"


@pytest.mark.parametrize(
    "body", [b"[1,]", b"[1", b"[,]", b"[1 2]", b"[1] x", b'["a', b"[{]", b"[\xff]", b"[" * 5000]
)
def test_an_array_that_is_not_json_is_refused(body: bytes) -> None:
    refused(400, split_events, body, ndjson=False, max_events=9)


def test_a_single_event_keeps_its_bytes_and_has_to_be_json() -> None:
    assert split_events(b'\xef\xbb\xbf {"a": 1}\n', ndjson=False, max_events=9) == [b'{"a": 1}']
    assert "not JSON" in refused(400, split_events, b"{a: 1}", ndjson=False, max_events=9)
    refused(400, split_events, b" \n ", ndjson=False, max_events=9)


def test_lines_are_events_whatever_they_hold() -> None:
    body = b'{"a":1}\r\n\n[1]\nnot json\n'
    assert split_events(body, ndjson=True, max_events=9) == [b'{"a":1}', b"[1]", b"not json"]


def test_a_text_without_an_end_deep_inside_is_looked_at_once() -> None:
    body = b"[" * 1500 + b'"' + b'\\"' * 1_000_000
    refused(400, split_events, body, ndjson=False, max_events=9)  # hours if each is scanned again


def test_too_many_events_are_refused() -> None:
    refused(413, split_events, b"[1,2" + b",no JSON", ndjson=False, max_events=2)
    refused(413, split_events, b"[1,2,3]", ndjson=False, max_events=2)
    refused(413, split_events, b"1\n2\n3", ndjson=True, max_events=2)


EVENT = {
    "eventId": "fb-1",
    "timestamp": "2026-01-02T03:04:05Z",
    "source": "facebook",
    "funnelStage": "top",
    "eventType": "ad.view",
    "data": {
        "user": {
            "userId": "u",
            "name": "n",
            "age": 30,
            "gender": "male",
            "location": {"country": "DE", "city": "Berlin"},
        },
        "engagement": {"actionTime": "2026-01-02T03:04:05Z", "referrer": "groups"},
    },
}
LIMITS = IngestSettings(max_event_age_days=0)


@given(
    json_values,
    st.lists(st.tuples(st.integers(0, 1000), st.binary(max_size=3), st.integers(0, 2)), max_size=2),
)
def test_a_body_that_is_taken_at_once_is_json_and_one_event(value, changes) -> None:
    body = json.dumps({"more": value, **EVENT}).encode()
    for at, inserted, removed in changes:
        body = body[:at] + inserted + body[at + removed :]
    validator = EventValidator(LIMITS, 10**6)
    if not is_short_object(body) or not validator.take(body):
        assert not validator.found.valid
        return
    assert split_events(body, ndjson=False, max_events=1) == [body]
    slowly = EventValidator(LIMITS, 10**6)
    slowly.add(body)
    assert validator.found == slowly.found


def test_a_short_event_is_taken_at_once_and_others_are_left() -> None:
    body = json.dumps(EVENT).encode()
    validator = EventValidator(LIMITS, 10**6)
    assert is_short_object(body)
    assert validator.take(body)
    assert validator.found.valid == {"facebook": [body]}
    for other in (b"[" + body + b"]", body + b" ", b" " + body, body[:-1] + b" " * 20_000 + b"}"):
        assert not is_short_object(other)
    for invalid in (b"{}", b"{a}", body.replace(b"30", b"1e999"), body.replace(b"30", b"NaN")):
        assert not validator.take(invalid)
    assert not EventValidator(LIMITS, 100).take(body)
    assert (validator.found.accepted, validator.found.rejected) == (1, [])
