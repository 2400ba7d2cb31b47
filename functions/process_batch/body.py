"""From a request's body to the events of its messages."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import msgspec
import orjson

from functions.common.errors import RequestRefusedError
from functions.common.http.body import (
    BYTE_ORDER_MARK,
    NDJSON_TYPES,
    ValueCounter,
    decode_body,
    lines,
)
from functions.common.quick_check import UNREADABLE, Envelope, read_envelopes

BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"

MAX_ID_CHARACTERS = 40
"""Characters of a message's id on average; the connector's are a stream's name and two numbers."""

Dump = Callable[[Any], str]
"""Writes a JSON value as text."""


@dataclass(slots=True)
class EventMessage:
    """Some events that came together.

    Attributes:
        events: what should be events, parsed from JSON; or an `Envelope` each, which are events
            whose `data` is not.
        dump: writes a part of these events as JSON without changing a value.
        id: the CloudEvent's id; None for plain events.
        call_ids: correlation ids of the requests that brought the events.
        redelivered: whether it was delivered before.
        accepted: when the stream stored it, as far as that is known.
        fault: why the message cannot be read at all, or None.
    """

    events: list[Any]
    dump: Dump
    id: str | None = None
    call_ids: list[str] = field(default_factory=list[str])
    redelivered: bool = False
    accepted: datetime | None = None
    fault: str | None = None


def read_messages(
    body: bytes,
    headers: Mapping[str, str],
    limit: int,
    *,
    max_values: int | None = None,
    max_events: int | None = None,
) -> list[EventMessage]:
    """Return the messages in a request.

    Args:
        body: as it was sent.
        headers: looked up in lower case.
        limit: the most bytes, decompressed.
        max_values: the most JSON values, so that the parsed body does not fill the memory.
        max_events: the most events; a message that cannot be read counts as one.

    Raises:
        RequestRefusedError: nothing in it can be read; or 413, it is too much. The connector then
            sends the halves.
    """
    values = ValueCounter(max_values)
    body = decode_body(body, headers.get("content-encoding", ""), limit, values)
    messages = _read_messages(body, headers, values)
    if max_events is not None:
        if sum(len(message.events) or 1 for message in messages) > max_events:
            raise RequestRefusedError(
                413,
                f"The batch has more than {max_events} events: send it in several requests.",
                reason="too_many_events",
            )
        # a response may have to name each
        if sum(len(message.id or "") for message in messages) > MAX_ID_CHARACTERS * max_events:
            raise RequestRefusedError(
                413,
                f"The ids of messages have more than {MAX_ID_CHARACTERS} characters on average.",
                reason="long_ids",
            )
    return messages


def _read_messages(
    body: bytes, headers: Mapping[str, str], values: ValueCounter
) -> list[EventMessage]:
    kind = _content_type(headers)
    if kind == BATCH:
        if messages := _plain_batch(body):
            return messages
        # A broken batch is answered 500: the connector splits it to find the message at fault,
        # while a 4xx would condemn all of them.
        document, dump = _loads(body, 500)
        if not isinstance(document, list):
            raise RequestRefusedError(400, "A CloudEvents batch is a JSON array.")
        return [_cloud_event(each, dump, values) for each in cast("list[Any]", document)]
    if kind == STRUCTURED:
        document, dump = _loads(body, 400)
        return [_cloud_event(document, dump, values)]
    if headers.get("ce-specversion"):
        return [_binary(body, headers)]
    if kind in NDJSON_TYPES:
        return _lines(body)
    document, dump = _loads(body.removeprefix(BYTE_ORDER_MARK), 400)
    return [EventMessage(_events(document), dump)]


def is_batch(headers: Mapping[str, str]) -> bool:
    """Return whether a request is a CloudEvents batch, whose messages are answered one by one."""
    return _content_type(headers) == BATCH


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class _PlainCloudEvent(msgspec.Struct, gc=False):
    """What is read of a CloudEvent; its data stays as it is."""

    id: str
    data: msgspec.Raw
    callid: Any = None
    time: Any = None
    deliverycount: Any = None
    data_base64: Any = None


_read_plain_batch: Callable[[bytes], list[_PlainCloudEvent]] = msgspec.json.Decoder(
    list[_PlainCloudEvent]
).decode


def _plain_batch(body: bytes) -> list[EventMessage] | None:
    """Return the messages of a batch that is as the connector sends nearly all; else None.

    Parsing the data of events, checking it and writing it as JSON again takes three times as long.
    """
    try:
        if not body.isascii():
            body.decode()  # whether it is UTF-8, which msgspec does not look at
        batch = _read_plain_batch(body)
        if any(each.data_base64 is not None for each in batch):
            return None
        return [_plain_message(each) for each in batch]
    except (*UNREADABLE, UnicodeDecodeError, RequestRefusedError):
        return None


def _plain_message(read: _PlainCloudEvent) -> EventMessage:
    message = _message(dump_json, read.id, read.callid, read.time, read.deliverycount)
    data = bytes(read.data)
    try:
        message.events = list[Any](read_envelopes(data if data[:1] == b"[" else b"[%b]" % data))
    except UNREADABLE:
        document, message.dump = _loads(data, 500)
        message.events = _events(document)
    return message


def _message(
    dump: Dump, id_: str, callid: object, time: object, deliverycount: object
) -> EventMessage:
    """Return a message without events, from the attributes of its CloudEvent."""
    message = EventMessage([], dump, id_, _call_ids(callid))
    message.accepted = _time(time)
    message.redelivered = deliverycount not in (None, 1, "1")
    return message


def parse_envelope(event: Envelope) -> tuple[dict[str, Any], Dump]:
    """Return the whole event, and what writes a part of it.

    Raises:
        RequestRefusedError: its data is not JSON after all.
    """
    data, dump = _loads(bytes(event.data), 500)
    parsed = {
        "eventId": event.event_id,
        "timestamp": event.timestamp,
        "source": event.source,
        "funnelStage": event.funnel_stage,
        "eventType": event.event_type,
        "data": data,
    }
    return parsed, dump


def _cloud_event(document: Any, dump: Dump, values: ValueCounter) -> EventMessage:
    envelope = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if not isinstance(envelope.get("id"), str):
        raise RequestRefusedError(400, "Each CloudEvent is a JSON object with an id.")
    attribute = envelope.get
    message = _message(
        dump, envelope["id"], attribute("callid"), attribute("time"), attribute("deliverycount")
    )
    encoded = envelope.get("data_base64")
    if encoded is None:
        if "data" not in envelope:
            message.fault = "the message has no payload"
        else:
            message.events = _events(envelope["data"])
        return message
    try:
        payload = base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        message.fault = "data_base64 is not base64"
        return message
    values.add(payload)
    return _payload(message, payload)


def _binary(body: bytes, headers: Mapping[str, str]) -> EventMessage:
    id_ = headers.get("ce-id")
    if not id_:
        raise RequestRefusedError(400, "A CloudEvent has an id (header ce-id).")
    message = _message(dump_json, id_, headers.get("ce-callid"), headers.get("ce-time"), None)
    return _payload(message, body)


def _payload(message: EventMessage, payload: bytes) -> EventMessage:
    try:
        data, message.dump = _loads(payload, 400)
    except RequestRefusedError as error:
        message.fault = error.detail
    else:
        message.events = _events(data)
    return message


def _events(document: Any) -> list[Any]:
    return cast("list[Any]", document) if isinstance(document, list) else [document]


def _lines(body: bytes) -> list[EventMessage]:
    # one message, so that a line's index is its event's index
    events: list[Any] = []
    dump = dump_json
    for line in lines(body):
        try:
            event, its_dump = _loads(line, 400)
        except RequestRefusedError as error:
            event = error
        else:
            if its_dump is not dump_json:
                dump = its_dump
        events.append(event)
    return [EventMessage(events, dump)]


def _time(value: Any) -> datetime | None:
    """Read a CloudEvent's time, where it is written as the connector writes it."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time if time.tzinfo else None


def _call_ids(value: Any) -> list[str]:
    if not isinstance(value, str):
        return []
    return [part.strip() for part in value.split(",") if part.strip()]


# orjson is several times faster than the standard library, but would turn an integer beyond 64
# bits into a float without a word, and refuses lone surrogates and numbers like 1e400. Bodies with
# such contents take the slower way, where events are told apart: each is kept as it is, or refused.
_ONLY_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_NUMBER = b"0" * 19
_MAX_DIGITS = 4000


def _loads(text: bytes, status: int) -> tuple[Any, Dump]:
    if _LONG_NUMBER not in text.translate(_ONLY_DIGITS):
        try:
            return orjson.loads(text), dump_json
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(text.decode(), parse_int=_parse_int), _exact_dump
    except RecursionError:
        raise RequestRefusedError(status, "The body is nested too deep.") from None
    except ValueError as error:
        raise RequestRefusedError(status, f"The body is not JSON: {error}.") from error


def dump_json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested deeper than it goes
        return _exact_dump(value)


def _exact_dump(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text has a lone surrogate, which is not Unicode") from error
    return text


def _parse_int(digits: str) -> int | float:
    # Python refuses to read longer ones, which would condemn the whole body
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")
