"""From a request's body to messages."""

import base64
import gzip
import json

import pytest

from functions.common.errors import RequestRefusedError
from functions.process_batch.body import EventMessage, read_messages

BATCH = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
LIMIT = 10_000


def only(body: str | bytes, headers: dict[str, str] | None = None) -> EventMessage:
    [message] = read_messages(
        body.encode() if isinstance(body, str) else body, headers or {}, LIMIT
    )
    return message


def test_object_array_and_lines_are_one_message() -> None:
    assert only('{"a": 1}').events == [{"a": 1}]
    assert only('[{"a": 1}, 2]').events == [{"a": 1}, 2]
    assert only('{"a": 1}\n\n [2] \r\n', {"content-type": "application/x-ndjson"}).events == [
        {"a": 1},
        [2],
    ]


def test_cloud_events_keep_their_ids_and_calls() -> None:
    batch = [
        {"id": "A:1", "data": {"a": 1}, "callid": "x, y"},
        {"id": "A:2", "data": [1, 2], "deliverycount": 2},
        {"id": "A:3", "data_base64": base64.b64encode(b"[3]").decode(), "deliverycount": 1},
    ]
    one, two, three = read_messages(json.dumps(batch).encode(), BATCH, LIMIT)
    assert (one.id, one.events, one.call_ids, one.redelivered) == (
        "A:1",
        [{"a": 1}],
        ["x", "y"],
        False,
    )
    assert (two.events, two.call_ids, two.redelivered) == ([1, 2], [], True)
    assert (three.events, three.redelivered) == ([3], False)


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ({"id": "A:1"}, "no payload"),
        ({"id": "A:1", "data_base64": "?"}, "base64"),
        ({"id": "A:1", "data_base64": 7}, "base64"),
        ({"id": "A:1", "data_base64": base64.b64encode(b"\xff").decode()}, "JSON"),
        ({"id": "A:1", "data_base64": base64.b64encode(b"[" * 100_000).decode()}, "deep"),
    ],
)
def test_unreadable_payload_is_the_fault_of_its_message(
    event: dict[str, object], fault: str
) -> None:
    bad, good = read_messages(
        json.dumps([event, {"id": "A:2", "data": 1}]).encode(), BATCH, 100 * LIMIT
    )
    assert fault in (bad.fault or "")
    assert (bad.events, good.events, good.fault) == ([], [1], None)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[" * 5000, {}, 400),
        (b"[" * 5000, BATCH, 500),
        (b"{", BATCH, 500),
        (b"{}", BATCH, 400),
        (b"[1]", BATCH, 400),
        (b'[{"data": 1}]', BATCH, 400),
        (b"{}", {"ce-specversion": "1.0"}, 400),
        (b"{}", {"content-encoding": "br"}, 415),
        (b"{}", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"[]", mtime=0)[:-4], {"content-encoding": "gzip"}, 400),
        (b"1" * (LIMIT + 1), {}, 413),
        (gzip.compress(b"1" * (LIMIT + 1), mtime=0), {"content-encoding": "gzip"}, 413),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, headers: dict[str, str], status: int) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        read_messages(body, headers, LIMIT)
    assert caught.value.status == status


def test_gzip_with_several_members() -> None:
    body = gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"a":2}\n')
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    assert read_messages(body, headers, LIMIT)[0].events == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    "value",
    ["123456789012345678901234567890", "18446744073709551615", "1.5", '"\\ud83d\\ude00"', "[[[]]]"],
)
def test_values_are_dumped_as_they_came(value: str) -> None:
    message = only(f'[{{"v": {value}}}]')
    dumped = message.dump(message.events[0])
    assert json.loads(dumped) == json.loads(f'{{"v": {value}}}')
    assert "e+" not in dumped
