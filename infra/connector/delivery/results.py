"""What a function answers besides what becomes of its messages: results, to be published."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from functions.common.correlation import TRACE_HEADERS
from infra.connector.delivery.named_items import named_items
from infra.connector.errors import MalformedResponseError

CONTENT_TYPE = "Content-Type"
JSON_TYPE = "application/json"
_CE = "ce-"
_SERVER_PREFIX = "nats-"
_is_header_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


@dataclass(frozen=True)
class Result:
    """A message that a function wants to be published.

    Attributes:
        data: its payload.
        headers: its headers.
    """

    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def single_result(headers: Mapping[str, str], body: bytes) -> tuple[Result, ...]:
    """Return the result of a call with one message: the body of its response; none if empty.

    The content type, attributes of a CloudEvent (`ce-...`) and trace headers go with it.

    Args:
        headers: the response's headers.
        body: the response's body.
    """
    if not body:
        return ()
    kept = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in TRACE_HEADERS or name.lower().startswith(_CE)
    }
    if content_type := headers.get(CONTENT_TYPE):
        kept[CONTENT_TYPE] = content_type
    return (Result(body, kept),)


def read_results(items: Any, ids: Mapping[str, Sequence[str]]) -> dict[str, tuple[Result, ...]]:
    """Return the results in the response to a batch, by message id, in their order.

    Args:
        items: `batchItemResults` of the response, if any. Each names its item, and holds its
            payload as CloudEvents do: `data` or `data_base64`, with a `datacontenttype`.
        ids: as for `classify`.

    Raises:
        MalformedResponseError: they do not follow the contract.
    """
    found: dict[str, list[Result]] = {}
    for name, fields in named_items("batchItemResults", items, ids):
        found.setdefault(ids[name][0], []).append(_read_result(fields))
    return {message: tuple(results) for message, results in found.items()}


def _read_result(fields: Mapping[str, Any]) -> Result:
    headers = _read_headers(fields.get("headers"))
    content_type = fields.get("datacontenttype")
    if not isinstance(content_type, str | None):
        raise MalformedResponseError("datacontenttype is not a string")
    if "data_base64" in fields:
        try:
            data = base64.b64decode(fields["data_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise MalformedResponseError("data_base64 is not base64") from None
    elif "data" in fields:
        value = fields["data"]
        if isinstance(value, str) and content_type is not None and not _is_json(content_type):
            data = value.encode("utf-8", "replace")
        else:
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            data = text.encode("utf-8", "replace")
            content_type = content_type or JSON_TYPE
    else:
        raise MalformedResponseError("a result has neither data nor data_base64")
    return Result(data, headers | ({CONTENT_TYPE: _line(content_type)} if content_type else {}))


def _read_headers(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedResponseError("headers of a result are not an object")
    headers: dict[str, str] = {}
    for name, text in cast("dict[str, Any]", value).items():
        # those of the server would let a function change the stream
        if not _is_header_name(name) or name.lower().startswith(_SERVER_PREFIX):
            raise MalformedResponseError(f"a result cannot have the header {name[:100]!r}")
        headers[name] = _line(text if isinstance(text, str) else json.dumps(text))
    return headers


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind.endswith(("/json", "+json"))


def _line(text: str) -> str:
    return " ".join(text.split())
