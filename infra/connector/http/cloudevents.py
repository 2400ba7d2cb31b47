"""Messages as CloudEvents 1.0, in the JSON batch format and in HTTP binary mode."""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, unquote

import orjson

from functions.common.correlation import CALL_ID_HEADER, TRACE_HEADERS
from infra.connector.delivery.message import Message
from infra.connector.http.headers import passed_on

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
STRUCTURED_TYPE = "application/cloudevents+json"
TYPE = "universe.jetstream.message"
JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
_CE = "ce-"
_NAME = re.compile(r"[a-z0-9]+")


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
    return _media_type(message, message.lower_headers)


def _media_type(message: Message, headers: Mapping[str, str]) -> str:
    declared = headers.get("content-type", "")
    if declared.isascii() and declared.isprintable() and declared.strip():
        return declared
    return JSON_TYPE if message.is_json else BINARY_TYPE


def _own_attributes(message: Message, headers: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the attributes of a message that is a CloudEvent itself; None if it is none.

    It is one in binary mode, with its attributes in `ce-` headers, or in structured mode, as JSON
    of the content type `application/cloudevents+json`: then `data` is among what is returned.

    Args:
        message: the message.
        headers: its headers by their names in lower case.
    """
    if "content-type" in headers and _is_structured(message, headers):
        event = orjson.loads(message.data)
        return cast("dict[str, Any]", event) if _is_event(event) else None
    if "ce-specversion" not in headers:
        return None
    found = {
        name.removeprefix(_CE): unquote(value)
        for name, value in headers.items()
        if name.startswith(_CE)
    }
    if not _is_event(found):
        return None
    return {n: v for n, v in found.items() if _NAME.fullmatch(n) and n != "data"}


def _is_structured(message: Message, headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type")
    if kind is None or not message.is_json:
        return False
    return kind.partition(";")[0].strip().lower() == STRUCTURED_TYPE


def _is_event(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    attributes = cast("dict[str, Any]", found)
    required = (attributes.get(name) for name in ("specversion", "id", "source", "type"))
    return all(isinstance(value, str) and value for value in required) and attributes[
        "specversion"
    ].startswith("1.")


def identifiers(message: Message) -> tuple[str, ...]:
    """Return by which ids a function may name a message in its response."""
    own = _own_attributes(message, message.lower_headers)
    return (message.id,) if own is None else (message.id, _own_id(message, own))


def _own_id(message: Message, own: Mapping[str, Any]) -> str:
    part = message.id.removeprefix(message.top.id)  # empty for a whole message
    return f"{own['id']}{part}"


def delivery_count(message: Message) -> int:
    """Return how often the function has received the message, this time included."""
    return message.delivered + max(message.calls - 1, 0)


def batch_body(messages: Sequence[Message], source: str) -> bytes:
    """Return the body of a batch; valid JSON payloads are included byte for byte."""
    encoded_source = orjson.dumps(source)
    return b"[" + b",".join(_batch_event(message, encoded_source) for message in messages) + b"]"


def _batch_event(message: Message, encoded_source: bytes) -> bytes:
    given = message.lower_headers
    own = _own_attributes(message, given)
    extensions: dict[str, Any] = {"deliverycount": delivery_count(message)}
    call_id = message.headers.get(CALL_ID_HEADER)
    if call_id:
        extensions["callid"] = call_id
    if message.headers:
        extensions["headers"] = message.headers
    if own is not None:
        extensions |= {"messageid": message.id, "topic": message.subject}
    trace = {name: given[name] for name in TRACE_HEADERS if name in given}
    if own is not None and _is_structured(message, given):
        missing = {n: v for n, v in trace.items() if n not in own}
        return _extended(message.data, own, missing | extensions)
    head: dict[str, Any] = {
        "specversion": "1.0",
        "id": message.id,
        "type": TYPE,
        "subject": message.subject,
        "time": event_time(message.key.time),
        "datacontenttype": JSON_TYPE if message.is_json else _media_type(message, given),
        **trace,
    }
    if own is not None:
        head |= own | {"id": _own_id(message, own), "datacontenttype": head["datacontenttype"]}
        encoded_source = orjson.dumps(head.pop("source"))
    head |= extensions
    if message.is_json:
        data = (b',"data":', message.data)
    else:
        data = (b',"data_base64":"', base64.b64encode(message.data), b'"')
    return b"".join((orjson.dumps(head)[:-1], b',"source":', encoded_source, *data, b"}"))


def _extended(event: bytes, attributes: Mapping[str, Any], extensions: Mapping[str, Any]) -> bytes:
    """Return an event in JSON with more members, its own ones byte for byte where that works."""
    if attributes.keys() & extensions.keys():
        return orjson.dumps({**attributes, **extensions})
    return orjson.dumps(extensions)[:-1] + b"," + event.lstrip()[1:]


def request_headers(message: Message, source: str) -> dict[str, str]:
    """Return the HTTP headers of a call with one message: its own, and its CloudEvents attributes.

    `X-Topic` is the header that the OpenFaaS connectors send. A payload that is a CloudEvent in
    structured mode stays one.
    """
    given = message.lower_headers
    own = _own_attributes(message, given)
    attributes: dict[str, str] = {}
    if not (own is not None and _is_structured(message, given)):
        attributes = {
            "specversion": "1.0",
            "id": message.id,
            "source": source,
            "type": TYPE,
            "subject": message.subject,
            "time": event_time(message.key.time),
        }
    if own is not None:
        if not _is_structured(message, given):
            attributes |= own | {"id": _own_id(message, own)}
            attributes.pop("datacontenttype", None)  # the header Content-Type
        attributes |= {"messageid": message.id, "topic": message.subject}
    attributes["deliverycount"] = str(delivery_count(message))
    call_id = message.headers.get(CALL_ID_HEADER)
    if call_id:
        attributes["callid"] = call_id
    headers = {
        "Content-Type": content_type(message),
        **{f"{_CE}{name}": header_value(value) for name, value in attributes.items()},
        "X-Topic": header_value(message.subject),
    }
    return passed_on(message, (*headers, CALL_ID_HEADER)) | headers


def header_value(text: str) -> str:
    """Return a text percent-encoded as CloudEvents requires it in an HTTP header."""
    return "".join(
        c if "!" <= c <= "~" and c not in '"%' else quote(c, errors="replace") for c in text
    )
