"""Values as JSON text."""

import json
from typing import Any

import orjson


def to_json(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8.

    Integers beyond 64 bits are written whole: fields that the contract does not define may hold
    them, and orjson refuses them.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
