"""What a function's response to a batch says of single messages, which it names."""

from collections.abc import Collection, Iterator
from typing import Any, cast

from infra.connector.errors import MalformedResponseError


def named_items(
    field: str, items: Any, ids: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the items of a field of the response, each with the message id that it names.

    Args:
        field: the field's name.
        items: its value; nothing is yielded where it is null or missing.
        ids: the ids that may be named.

    Raises:
        MalformedResponseError: it is no array of objects that name a message of the call.
    """
    if not isinstance(items or [], list):
        raise MalformedResponseError(f"{field} is not an array")
    for item in cast("list[Any]", items or []):
        if not isinstance(item, dict):
            raise MalformedResponseError(f"an item of {field} is not an object")
        fields = cast("dict[str, Any]", item)
        name = fields.get("itemIdentifier")
        if not isinstance(name, str) or name not in ids:
            raise MalformedResponseError(f"{field} names an unknown item {str(name)[:100]!r}")
        yield name, fields
