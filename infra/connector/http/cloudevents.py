"""Messages as CloudEvents 1.0, in the JSON batch format and in HTTP binary mode."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

import orjson

from functions.common.correlation import CALL_ID_HEADER
from infra.connector.delivery.message import Message

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
TYPE = "universe.jetstream.message"
JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"


def event_time(nanoseconds: int) -> str:
    """Return an RFC 3339 time in UTC with microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_to_seconds(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=1024)
def _to_seconds(seconds: int) -> str:
    # the messages of a batch are of few seconds, and writing out a date is slow
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def content_type(message: Message) -> str:
    """Return the media type of a payload: its `Content-Type` header, else what it looks like."""
    declared = message.headers.get("Content-Type", "")
    if declared.isascii() and declared.isprintable() and declared.strip():
        return declared
    return JSON_TYPE if message.is_json else BINARY_TYPE


def delivery_count(message: Message) -> int:
    """Return how often the function has received the message, this time included."""
    return message.delivered + max(message.calls - 1, 0)


def batch_body(messages: Sequence[Message], source: str) -> bytes:
    """Return the body of a batch; valid JSON payloads are included byte for byte."""
    encoded_source = orjson.dumps(source)
    return b"[" + b",".join(_batch_event(message, encoded_source) for message in messages) + b"]"


def _batch_event(message: Message, encoded_source: bytes) -> bytes:
    head: dict[str, object] = {
        "specversion": "1.0",
        "id": message.id,
        "type": TYPE,
        "subject": message.subject,
        "time": event_time(message.key.time),
        "datacontenttype": JSON_TYPE if message.is_json else content_type(message),
        "deliverycount": delivery_count(message),
    }
    call_id = message.headers.get(CALL_ID_HEADER)
    if call_id:
        head["callid"] = call_id
    if message.is_json:
        data = (b',"data":', message.data)
    else:
        data = (b',"data_base64":"', base64.b64encode(message.data), b'"')
    return b"".join((orjson.dumps(head)[:-1], b',"source":', encoded_source, *data, b"}"))


def binary_headers(message: Message, source: str) -> dict[str, str]:
    """Return the HTTP headers with a message's attributes, in CloudEvents binary mode.

    `X-Topic` is the header that the OpenFaaS connectors send.
    """
    headers = {
        "Content-Type": content_type(message),
        "ce-specversion": "1.0",
        "ce-id": header_value(message.id),
        "ce-source": header_value(source),
        "ce-type": TYPE,
        "ce-subject": header_value(message.subject),
        "ce-time": event_time(message.key.time),
        "ce-deliverycount": str(delivery_count(message)),
        "X-Topic": header_value(message.subject),
    }
    call_id = message.headers.get(CALL_ID_HEADER)
    if call_id:
        headers["ce-callid"] = header_value(call_id)
    return headers


def header_value(text: str) -> str:
    """Return a text percent-encoded as CloudEvents requires it in an HTTP header."""
    return "".join(
        c if "!" <= c <= "~" and c not in '"%' else quote(c, errors="replace") for c in text
    )
