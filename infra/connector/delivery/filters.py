"""Which messages a function gets: patterns over subject, headers and JSON, as AWS has them.

    {"subject": [{"prefix": "orders.eu."}],
     "headers": {"Tenant": ["acme", "globex"]},
     "data": {"status": [{"anything-but": ["draft"]}], "total": [{"numeric": [">=", 100]}]}}

A message matches if all fields of the pattern do; a field matches if one of its list does. Nothing
in a pattern takes long: no expression backtracks, and there is a bound on what is looked at.
"""

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from infra.connector.delivery.message import Message

MAX_PATTERN_BYTES = 8192
MAX_CONDITIONS = 100
MAX_DEPTH = 10
MAX_LOOKS = 20_000
"""Values of one message that are compared; one that has more is delivered."""
OR = "$or"

_MISSING = object()
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _TooMuchError(Exception):
    """A message has more values than are compared."""


class _Looks:
    """Counts how many values of a message have been compared."""

    def __init__(self) -> None:
        self.left = MAX_LOOKS

    def one(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _TooMuchError


Test = Callable[[Any], bool]
"""Whether a value that is there, and no list, satisfies a condition."""
Node = Callable[[Any, _Looks], bool]
"""Whether a value, or `_MISSING`, matches a part of a pattern."""


@dataclass(frozen=True)
class MessageFilter:
    """A pattern that messages match or do not.

    Attributes:
        text: the pattern, as it was written.
    """

    text: str
    _parts: Mapping[str, Node] = field(compare=False, repr=False)

    def matches(self, message: Message) -> bool:
        """Return whether a message is for the function."""
        looks = _Looks()
        try:
            return all(part(_value(message, name), looks) for name, part in self._parts.items())
        except (_TooMuchError, RecursionError):
            return True

    def __str__(self) -> str:
        """Return the pattern."""
        return self.text


def _value(message: Message, name: str) -> Any:
    if name == "subject":
        return message.subject
    if name == "headers":
        return message.lower_headers
    if not message.is_json:
        return _MISSING
    try:
        return orjson.loads(message.data)
    except orjson.JSONDecodeError:
        pass
    try:  # large numbers and lone surrogates are JSON as well
        return json.loads(message.data)
    except (ValueError, RecursionError):
        return _MISSING


def parse_filter(text: str) -> MessageFilter:
    """Return the filter of a pattern.

    Raises:
        ValueError: it is not a pattern; the message says what is wrong.
    """
    if len(text.encode()) > MAX_PATTERN_BYTES:
        raise ValueError(f"a filter has at most {MAX_PATTERN_BYTES} bytes")
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the filter is not JSON: {error}") from None
    if not isinstance(pattern, dict) or not pattern:
        raise ValueError("a filter is a JSON object with subject, headers or data")
    counter = _Counter()
    parts: dict[str, Node] = {}
    for name, part in cast("dict[str, Any]", pattern).items():
        if name == "subject":
            parts[name] = counter.leaf(part, name, numbers_in_text=False)
        elif name == "headers":
            parts[name] = counter.tree(part, name, 0, headers=True)
        elif name == "data":
            parts[name] = counter.tree(part, name, 0, headers=False)
        else:
            raise ValueError(f"a filter has subject, headers and data, not {name!r}")
    return MessageFilter(text.strip(), parts)


class _Counter:
    """Makes the parts of one pattern, and counts their conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def tree(self, pattern: Any, path: str, depth: int, *, headers: bool) -> Node:
        """Return what matches an object by its fields, or a list by one of its objects."""
        if isinstance(pattern, list) and not headers and depth == 0:
            return self.leaf(cast("list[Any]", pattern), path, numbers_in_text=False)
        if not isinstance(pattern, dict) or not pattern:
            raise ValueError(f"{path} is not an object with fields")
        if depth > MAX_DEPTH or (headers and depth > 1):
            raise ValueError(f"{path} is too deep")
        fields: list[tuple[str, Node]] = []
        choices: list[Node] = []
        for name, part in cast("dict[str, Any]", pattern).items():
            at = f"{path}.{name}"
            if name == OR:
                choices = self._choices(part, at, depth, headers=headers)
            elif isinstance(part, list):
                leaf = self.leaf(cast("list[Any]", part), at, numbers_in_text=headers)
                fields.append((name.lower() if headers else name, leaf))
            elif headers:
                raise ValueError(f"{at} is not a list of values and conditions")
            else:
                fields.append((name, self.tree(part, at, depth + 1, headers=False)))
        return _tree(fields, choices)

    def _choices(self, part: Any, path: str, depth: int, *, headers: bool) -> list[Node]:
        if not isinstance(part, list) or not part:
            raise ValueError(f"{path} is not a list of patterns")
        patterns = cast("list[Any]", part)
        return [self.tree(each, path, depth + 1, headers=headers) for each in patterns]

    def leaf(self, conditions: Any, path: str, *, numbers_in_text: bool) -> Node:
        """Return what matches a value by one of several conditions."""
        if not isinstance(conditions, list) or not conditions:
            raise ValueError(f"{path} is not a list of values and conditions")
        exact: set[tuple[type, Any]] = set()
        tests: list[Test] = []
        exists: set[bool] = set()
        for condition in cast("list[Any]", conditions):
            self._conditions += 1
            if self._conditions > MAX_CONDITIONS:
                raise ValueError(f"a filter has at most {MAX_CONDITIONS} conditions")
            if isinstance(condition, list):
                raise ValueError(f"{path}: a list in a list")
            if not isinstance(condition, dict):
                exact.add(_key(condition))
                continue
            if len(cast("dict[str, Any]", condition)) != 1:
                raise ValueError(f"{path}: a condition has one operator")
            [(name, value)] = cast("dict[str, Any]", condition).items()
            if name == "exists":
                if not isinstance(value, bool):
                    raise ValueError(f"{path}: exists is true or false")
                exists.add(value)
            else:
                tests.append(_test(name, value, path, numbers_in_text=numbers_in_text))
        return _leaf(exact, tests, exists)


def _tree(fields: Sequence[tuple[str, Node]], choices: Sequence[Node]) -> Node:
    def matches(value: Any, looks: _Looks) -> bool:
        if isinstance(value, list):
            return any(matches(each, looks) for each in cast("list[Any]", value))
        looks.one()
        known = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        return all(node(known.get(name, _MISSING), looks) for name, node in fields) and (
            not choices or any(choice(value, looks) for choice in choices)
        )

    return matches


def _leaf(exact: set[tuple[type, Any]], tests: Sequence[Test], exists: set[bool]) -> Node:
    def matches(value: Any, looks: _Looks) -> bool:
        looks.one()
        if value is _MISSING:
            return False in exists
        if True in exists:
            return True
        if isinstance(value, list):
            return any(matches(each, looks) for each in cast("list[Any]", value))
        return _key(value) in exact or any(test(value) for test in tests)

    return matches


def _key(value: Any) -> tuple[type, Any]:
    """Return what is equal for equal JSON values only: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, int | float):
        return float, value
    if isinstance(value, str):
        return str, value
    return (list, None) if isinstance(value, list | dict) else (type(None), None)


def _test(name: str, value: Any, path: str, *, numbers_in_text: bool) -> Test:
    match name:
        case "prefix":
            text = _text(value, path, name)
            return lambda found: isinstance(found, str) and found.startswith(text)
        case "suffix":
            text = _text(value, path, name)
            return lambda found: isinstance(found, str) and found.endswith(text)
        case "equals-ignore-case":
            text = _text(value, path, name).casefold()
            return lambda found: isinstance(found, str) and found.casefold() == text
        case "anything-but":
            return _anything_but(value, path)
        case "numeric":
            return _numeric(value, path, numbers_in_text=numbers_in_text)
        case _:
            raise ValueError(
                f"{path}: unknown operator {name!r}; there are prefix, suffix, equals-ignore-case,"
                " anything-but, numeric and exists"
            )


def _anything_but(value: Any, path: str) -> Test:
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        if len(inner) != 1 or not inner.keys() <= {"prefix", "suffix", "equals-ignore-case"}:
            raise ValueError(f"{path}: anything-but takes values, or a prefix or suffix")
        [(name, text)] = inner.items()
        unwanted = _test(name, text, path, numbers_in_text=False)
        return lambda found: not unwanted(found)
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    if not values or any(isinstance(each, list | dict) for each in values):
        raise ValueError(f"{path}: anything-but takes values, or a prefix or suffix")
    keys = {_key(each) for each in values}
    return lambda found: _key(found) not in keys


def _numeric(value: Any, path: str, *, numbers_in_text: bool) -> Test:
    parts = cast("list[Any]", value) if isinstance(value, list) else []
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    if (
        not pairs
        or len(parts) % 2
        or any(sign not in _COMPARISONS for sign, _ in pairs if isinstance(sign, str))
        or any(not isinstance(sign, str) or not _is_number(bound) for sign, bound in pairs)
    ):
        raise ValueError(f'{path}: numeric is a list such as [">=", 0, "<", 100]')
    comparisons = [(_COMPARISONS[sign], float(bound)) for sign, bound in pairs]

    def test(found: Any) -> bool:
        number = _to_number(found) if numbers_in_text and isinstance(found, str) else found
        if number is None or not _is_number(number):
            return False
        return all(compare(number, bound) for compare, bound in comparisons)

    return test


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Any, path: str, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{path}: {name} is a text")
    return value
