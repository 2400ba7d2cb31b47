"""Whom the work is about, and which events of dead letters are theirs."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

_USER_ID = "userId"


@dataclass(frozen=True)
class Person:
    """A user, as events name them.

    Attributes:
        user_id: the user's id.
        source: only events of this source; None: of all.
    """

    user_id: str
    source: str | None = None

    def owns(self, event: bytes) -> bool:
        """Return whether an event is this person's, whatever is wrong with it.

        It is where any `userId` in it is the person's id, as a text or a number; or, where it is
        not JSON, where it holds that as text. Of a source that cannot be told it counts as of each.

        Args:
            event: an event of a dead letter, as it was sent.
        """
        if self._cannot_be_in(event):
            return False
        try:
            # numbers as they are written, so that none is too long or too large to parse
            value: Any = json.loads(event, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return self._in_text(event)
        if isinstance(value, dict):
            source = cast("dict[str, Any]", value).get("source")
            if isinstance(source, str) and self.source not in (None, source):
                return False
        return self.user_id in _user_ids(value)

    def _cannot_be_in(self, text: bytes) -> bool:
        """Tell it fast, without parsing; a text with escapes may hold everything."""
        return b"\\" not in text and self.user_id.encode("utf-8", "replace") not in text

    def _in_text(self, event: bytes) -> bool:
        text = event.decode("utf-8", "replace")
        forms = {self.user_id, json.dumps(self.user_id)[1:-1]}
        quoted = "|".join(re.escape(form) for form in forms)
        return re.search(rf'"{_USER_ID}"\s*:\s*"?(?:{quoted})["\s,}}]', text + " ") is not None


def _user_ids(value: Any) -> Iterator[str]:
    """Yield every `userId` in a JSON value."""
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            user_id = members.get(_USER_ID)
            if isinstance(user_id, str):
                yield user_id
            waiting += members.values()
        elif isinstance(each, list):
            waiting += cast("list[Any]", each)
