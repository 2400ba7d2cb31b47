"""Adding users to the rollups of sketches."""

from collections import defaultdict
from operator import itemgetter
from typing import Any

from psycopg import Connection

from functions.common.sketches import add_to_hll, add_to_theta

from .rollup_statements import SketchStatements

_NO_VALUE = ""
"""In a key: events that have no such value, or all values together where it is the total key."""

_Key = tuple[Any, ...]


class UserSketches:
    """The users that one compaction adds to a rollup of sketches."""

    def __init__(self, statements: SketchStatements, columns: tuple[str, ...], offset: int) -> None:
        """Begin with no users.

        Args:
            statements: of the rollup.
            columns: the columns that keys are made of.
            offset: where the first of these is in a row.
        """
        self._statements = statements
        self._rollup = statements.rollup
        self.users_by_key: defaultdict[_Key, list[str]] = defaultdict(list)
        self.key_of = itemgetter(*(offset + columns.index(key) for key in self._rollup.all_keys))
        """Returns the key of a row; compaction uses it for every row, so it calls nothing else."""

    def store(self, connection: Connection) -> None:
        """Add the users to the stored sketches."""
        if not self.users_by_key:
            return
        added = self._with_totals()
        keys = dict(zip(self._rollup.all_keys, map(list, zip(*added, strict=True)), strict=True))
        width = len(self._rollup.all_keys)
        stored = {
            row[:width]: dict(zip(self._rollup.measures, row[width:], strict=True))
            for row in connection.execute(self._statements.read.encode(), keys)
        }
        sketches: dict[str, list[bytes | None]] = {name: [] for name in self._rollup.measures}
        for key, users in added.items():
            before = stored.get(key, {})
            for measure, column in sketches.items():
                column.append(self._sketch(measure, key, before.get(measure), users))
        connection.execute(self._statements.store.encode(), keys | sketches)

    def _with_totals(self) -> dict[_Key, list[str]]:
        by_key: defaultdict[_Key, list[str]] = defaultdict(list)
        total = self._total_place
        for key, users in self.users_by_key.items():
            stored_key = tuple(_NO_VALUE if part is None else part for part in key)
            by_key[stored_key] += users
            if total is not None:
                by_key[(*stored_key[:total], _NO_VALUE, *stored_key[total + 1 :])] += users
        return by_key

    @property
    def _total_place(self) -> int | None:
        total_key = self._rollup.total_key
        return None if total_key is None else self._rollup.all_keys.index(total_key)

    def _sketch(
        self, measure: str, key: _Key, stored: bytes | None, users: list[str]
    ) -> bytes | None:
        if measure == "hll":
            return add_to_hll(stored, users)
        total = self._total_place
        if total is not None and key[total] != _NO_VALUE:
            return None
        return add_to_theta(stored, users)
