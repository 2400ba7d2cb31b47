"""The statements of compaction, written out from the catalogue of rollups.

A rollup is a row of the table `rollups`. Its statements differ from those of other rollups in
table, keys and measures only, so `sql/queries/compaction.sql` has them once, with slots.
"""

from collections.abc import Iterator
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
        additions="".join(_additions(sums)),
        sketch_keys=", ".join(map(_sketch_key, columns)) or "NULL",
    )
    return CompactionStatements(compact, columns, tuple(_sketch(rollup) for rollup in sketches))


def _sketch_key(column: str) -> str:
    # an empty text where an event has no such value: keys of sketches are never null
    return f"f.{column}" if column in _TIME_TYPES else f"coalesce(f.{column}, '')"


def _additions(rollups: list[Rollup]) -> Iterator[str]:
    """Yield the part of each rollup of sums: the finest first, as others are made of them."""
    finer: list[Rollup] = []
    for rollup in sorted(rollups, key=_coarseness):
        source = max(
            (each for each in finer if _is_made_of(rollup, each)), default=None, key=_coarseness
        )
        yield _addition(rollup, source)
        finer.append(rollup)


def _coarseness(rollup: Rollup) -> tuple[int, bool]:
    return -len(rollup.keys), rollup.grain == "day"


def _is_made_of(rollup: Rollup, finer: Rollup) -> bool:
    """Tell whether a rollup's sums are sums of what another holds, which has the same events."""
    return (
        finer.grain in ("hour", rollup.grain)
        and {*rollup.keys} <= {*finer.keys}
        and {*rollup.measures} <= {*finer.measures}
        and _rows(rollup) == _rows(finer)
    )


def _rows(rollup: Rollup) -> tuple[str, str]:
    """Return where a rollup's rows are, and which of them it has."""
    return (
        "grouped" if "dimension" in rollup.keys else "taken",
        "campaign_id IS NOT NULL" if "campaign_id" in rollup.keys else "true",
    )


def _addition(rollup: Rollup, source: Rollup | None) -> str:
    rows, condition = _rows(rollup) if source is None else (_sums(source), "true")
    measures = zip(rollup.of_deltas, rollup.measures, strict=True)
    return _fill(
        QUERIES.add_to_rollup.sql,
        rollup=rollup.name,
        sums=_sums(rollup),
        grain=rollup.grain,
        # sums by hour are summed up by day
        times="hour, day" if rollup.grain == "hour" else "day",
        keys=", ".join(rollup.keys),
        measures=", ".join(rollup.measures),
        of_rows=", ".join(f"{sum_} AS {measure}" for sum_, measure in measures),
        added=", ".join(
            f"{measure} = {added}"
            for measure, added in zip(rollup.measures, rollup.added, strict=True)
        ),
        rows=rows,
        condition=condition,
    ).rstrip("; \n")


def _sums(rollup: Rollup) -> str:
    return f"sums_of_{rollup.name}"


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
