"""Adding users to the rollups of sketches."""

from collections import defaultdict
from operator import itemgetter
from typing import Any

from psycopg import Connection

from functions.common.sketches import add_to_hll, add_to_theta

from .rollup_statements import SketchStatements

_TOTAL = ""
"""In place of the total key's value: all its values together."""

_Key = tuple[Any, ...]


class UserSketches:
    """The users that one compaction adds to a rollup of sketches."""

    def __init__(self, statements: SketchStatements, columns: tuple[str, ...], offset: int) -> None:
        """Begin with no users.

        Args:
            statements: of the rollup.
            columns: the columns that keys are made of.
            offset: where the first of these is in a row of the compaction statement.
        """
        rollup = statements.rollup
        self._statements = statements
        self._keys = rollup.all_keys
        self._measures = rollup.measures
        self._total = None if rollup.total_key is None else self._keys.index(rollup.total_key)
        self.users_by_key: defaultdict[_Key, list[str]] = defaultdict(list)
        self.key_of = itemgetter(*(offset + columns.index(key) for key in self._keys))
        """Returns the key of a row. (Compaction calls it for every row, so nothing wraps it.)"""

    def store(self, connection: Connection) -> None:
        """Add the users to the stored sketches."""
        if not self.users_by_key:
            return
        self._add_totals()
        added = self.users_by_key
        params: dict[str, list[Any]] = dict(
            zip(self._keys, map(list, zip(*added, strict=True)), strict=True)
        )
        width = len(self._keys)
        rows = connection.execute(self._statements.read.encode(), params, binary=True)
        stored = {row[:width]: row[width:] for row in rows}
        nothing = (None,) * len(self._measures)
        for place, measure in enumerate(self._measures):
            params[measure] = [
                self._sketch(measure, key, stored.get(key, nothing)[place], users)
                for key, users in added.items()
            ]
        connection.execute(self._statements.store.encode(), params)

    def _add_totals(self) -> None:
        at = self._total
        if at is not None:
            for key, users in list(self.users_by_key.items()):
                self.users_by_key[(*key[:at], _TOTAL, *key[at + 1 :])] += users

    def _sketch(
        self, measure: str, key: _Key, stored: bytes | None, users: list[str]
    ) -> bytes | None:
        if measure == "hll":
            return add_to_hll(stored, users)
        if self._total is not None and key[self._total] != _TOTAL:
            return None
        return add_to_theta(stored, users)
