"""The statements of compaction, written out from the catalogue of rollups.

A rollup is a row of the table `rollups`. Its statements differ from those of other rollups in
table, keys and measures only, so `sql/queries/compaction.sql` has them once, with slots.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import aiosql
from psycopg import Connection

from functions.common.paths import ROOT

# aiosql leaves the type arguments of a parameter open
QUERIES: Any = aiosql.from_path(  # pyright: ignore[reportUnknownMemberType]
    ROOT / "sql" / "queries" / "compaction.sql", "psycopg"
)

_TIME_TYPES = {"hour": "timestamptz", "day": "date"}


@dataclass(frozen=True, slots=True)
class Rollup:
    """A row of the catalogue.

    Attributes:
        name: of the table.
        kind: `sums` or `sketches`.
        grain: `hour` or `day`, which is also the column of the time.
        keys: the other columns of the unique key.
        measures: the columns that are added to.
        total_key: the key whose values are also kept together, as an empty text.
        of_deltas: what each measure is over deltas, in SQL; none for sketches.
        added: what each measure becomes where the row is there already; none for sketches.
    """

    name: str
    kind: str
    grain: str
    keys: tuple[str, ...]
    measures: tuple[str, ...]
    total_key: str | None = None
    of_deltas: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def all_keys(self) -> tuple[str, ...]:
        """The columns of the unique key, the time first."""
        return self.grain, *self.keys


@dataclass(frozen=True, slots=True)
class SketchStatements:
    """The statements that read and write the sketches of a rollup.

    Both take a list for each column of the key, by its name; `store` one for each measure too.
    """

    rollup: Rollup
    read: str
    store: str


@dataclass(frozen=True, slots=True)
class CompactionStatements:
    """What compaction runs.

    Attributes:
        compact: moves deltas into the rollups of sums. Each row that it returns is of a delta: its
            events, its users, its day, whether that is sealed, and then `columns`.
        columns: the names of the further columns, which the keys of sketches are made of.
        sketches: for each rollup of sketches.
    """

    compact: str
    columns: tuple[str, ...]
    sketches: tuple[SketchStatements, ...]


def read_catalogue(connection: Connection) -> tuple[Rollup, ...]:
    """Return the rollups that compaction keeps."""
    return tuple(
        Rollup(
            name,
            kind,
            grain,
            tuple(keys),
            tuple(measures),
            total_key,
            tuple(of_deltas),
            tuple(added),
        )
        for name, kind, grain, keys, measures, total_key, of_deltas, added in (
            QUERIES.rollup_catalogue(connection)
        )
    )


@cache
def compaction_statements(rollups: tuple[Rollup, ...]) -> CompactionStatements:
    """Write out the statements for a catalogue."""
    sums = [rollup for rollup in rollups if rollup.kind == "sums"]
    sketches = [rollup for rollup in rollups if rollup.kind == "sketches"]
    columns = tuple(dict.fromkeys(key for rollup in sketches for key in rollup.all_keys))
    compact = _fill(
        QUERIES.compact.sql,
        additions="".join(_addition(rollup) for rollup in sums),
        sketch_keys=", ".join(map(_sketch_key, columns)) or "NULL",
    )
    return CompactionStatements(compact, columns, tuple(_sketch(rollup) for rollup in sketches))


def _sketch_key(column: str) -> str:
    # an empty text where an event has no such value: keys of sketches are never null
    return f"f.{column}" if column in _TIME_TYPES else f"coalesce(f.{column}, '')"


def _addition(rollup: Rollup) -> str:
    return _fill(
        QUERIES.add_to_rollup.sql,
        rollup=rollup.name,
        keys=", ".join(rollup.all_keys),
        measures=", ".join(rollup.measures),
        of_deltas=", ".join(rollup.of_deltas),
        added=", ".join(
            f"{measure} = {added}"
            for measure, added in zip(rollup.measures, rollup.added, strict=True)
        ),
        rows="grouped" if "dimension" in rollup.keys else "taken",
        condition="campaign_id IS NOT NULL" if "campaign_id" in rollup.keys else "true",
    ).rstrip("; \n")


def _sketch(rollup: Rollup) -> SketchStatements:
    # %()b: to write lists as text takes psycopg longer than all else compaction does in Python
    types = dict.fromkeys(rollup.keys, "text") | {rollup.grain: _TIME_TYPES[rollup.grain]}
    slots = {
        "rollup": rollup.name,
        "keys": ", ".join(rollup.all_keys),
        "measures": ", ".join(rollup.measures),
        "key_values": ", ".join(f"%({key})b::{types[key]}[]" for key in rollup.all_keys),
        "sketches": ", ".join(f"%({measure})b::bytea[]" for measure in rollup.measures),
        "replaced": ", ".join(f"{measure} = excluded.{measure}" for measure in rollup.measures),
    }
    return SketchStatements(
        rollup,
        _fill(QUERIES.stored_sketches.sql, **slots),
        _fill(QUERIES.store_sketches.sql, **slots),
    )


def _fill(text: str, **slots: str) -> str:
    for name, value in slots.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    if "{{" in text:
        raise LookupError(f"compaction.sql has a slot that nothing fills: {text}")
    return text
