"""By what the messages of a function are ordered, and which key each of them has."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from infra.connector.delivery.message import Message

SUBJECT = "subject"
_TOKEN, _HEADER, _JSON = "subject-token-", "header:", "json:"
MAX_KEY_LENGTH = 200
"""Longer keys are told apart by a digest."""
NO_KEY = "(none)"
"""What people read where messages have no key."""
_REST = ">"


@dataclass(frozen=True)
class OrderBy:
    """Messages with the same key are processed one after the other.

    Attributes:
        text: as it was given.
        token: the place of a subject's token, from 1 on; 0: not by a token.
        header: the name of a header in lower case; empty: not by a header.
        pointer: the steps of a JSON pointer; empty: not by JSON.
    """

    text: str
    token: int = 0
    header: str = ""
    pointer: tuple[str, ...] = ()

    def key_of(self, message: Message) -> str | None:
        """Return the key of a whole message; None if it has none."""
        if self.header:
            key = message.lower_headers.get(self.header)
        elif self.token:
            tokens = message.subject.split(".")
            key = tokens[self.token - 1] if len(tokens) >= self.token else None
        elif self.pointer:
            key = _json_key(message, self.pointer)
        else:
            key = message.subject
        return key if key is None or len(key) <= MAX_KEY_LENGTH else _short(key)

    def check(self, topics: Sequence[str]) -> None:
        """Check that the messages of some topics can have a key.

        Raises:
            ValueError: the subjects of one have too few tokens.
        """
        for topic in topics:
            tokens = topic.split(".")
            if tokens[-1] != _REST and len(tokens) < self.token:
                raise ValueError(
                    f"order by {self.text}: the subjects of {topic} have {len(tokens)} tokens"
                )


def parse_order_by(text: str) -> OrderBy:
    """Return the order for `subject`, `subject-token-N`, `header:NAME` or `json:POINTER`.

    Raises:
        ValueError: it is none of these.
    """
    plain = text.strip()
    if plain == SUBJECT:
        return OrderBy(plain)
    number = plain.removeprefix(_TOKEN)
    if number != plain and number.isascii() and number.isdigit() and int(number) > 0:
        return OrderBy(plain, token=int(number))
    name = plain.removeprefix(_HEADER)
    if name != plain and name and name.isascii() and name.isprintable() and " " not in name:
        return OrderBy(plain, header=name.lower())
    pointer = plain.removeprefix(_JSON)
    if pointer != plain and pointer.startswith("/"):
        return OrderBy(plain, pointer=tuple(map(_unescape, pointer.split("/")[1:])))
    raise ValueError(
        f"not subject, subject-token-N with N from 1 on, header:NAME or json:/POINTER: {text!r}"
    )


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _json_key(message: Message, pointer: Sequence[str]) -> str | None:
    try:
        value: Any = orjson.loads(message.data)
    except ValueError:
        return None
    for step in pointer:
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            items = cast("list[Any]", value)
            value = items[int(step)] if int(step) < len(items) else None
        else:
            return None
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, int | float) else None


def _short(key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{key[:100]}...{digest}"
