"""What was spent on campaigns: reading it from CSV and JSON, and storing it.

`analytics-query` takes it over HTTP and `universe spend import` from a file; both store it so. Only
they import this: it needs PostgreSQL's client.
"""

import csv
import datetime
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Annotated, Any, LiteralString, NotRequired, cast

import aiosql
import psycopg
from psycopg.rows import class_row
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from functions.common.contract import Currency
from functions.common.errors import UniverseError
from functions.common.events import SourceName
from functions.common.paths import ROOT

COLUMNS = ("date", "source", "campaignId", "amount", "currency")
REQUIRED_COLUMNS = COLUMNS[:-1]
MAX_FAULTS = 20
"""Things that are wrong with one import and are told."""
FIRST_DAY = datetime.date(2000, 1, 1)
"""Events have no earlier day either."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")

# aiosql leaves the type arguments of a parameter open
_queries: Any = aiosql.from_path(  # pyright: ignore[reportUnknownMemberType]
    ROOT / "sql" / "queries" / "write_spend.sql", "psycopg"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an import.

    Attributes:
        place: `line 3, amount` of CSV, `2.amount` of JSON.
        message: for a person.
        type: for programs.
    """

    place: str
    message: str
    type: str


class SpendError(UniverseError):
    """An import that is not taken, as a whole.

    Attributes:
        faults: what is wrong with it, `MAX_FAULTS` at most.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults[:MAX_FAULTS]
        said = "; ".join(f"{fault.place}: {fault.message}" for fault in self.faults)
        more = len(faults) - len(self.faults)
        super().__init__(f"{said}; and {more:,} more" if more else said)


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent on a campaign on a day; None: what is stored of it goes."""

    day: datetime.date
    source: str
    campaign_id: str
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What an import did, in entries: one is a day of a campaign.

    Attributes:
        added: that were not there.
        changed: whose amount was another one.
        unchanged: that were there, with the same amount.
        removed: that are gone, because no amount was given for them.
    """

    added: int
    changed: int
    unchanged: int
    removed: int


def _check_day(text: str) -> str:
    try:
        if _DAY.fullmatch(text) and datetime.date.fromisoformat(text) >= FIRST_DAY:
            return text
    except ValueError:
        pass
    raise PydanticCustomError("invalid_date", "Expected a date such as 2026-11-30")


def _check_amount(text: str) -> str:
    if not _AMOUNT.fullmatch(text):
        raise PydanticCustomError("invalid_amount", "Expected an amount such as 120.50")
    return text


class SpendEntry(TypedDict):
    """What was spent on one campaign on one day."""

    date: Annotated[
        str,
        AfterValidator(_check_day),
        Field(
            description="A day in the time zone of the workspace.",
            examples=["2026-11-30"],
            json_schema_extra={"format": "date", "pattern": f"^{_DAY.pattern}$"},
        ),
    ]
    source: SourceName
    campaignId: Annotated[
        str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")
    ]
    amount: Annotated[
        Annotated[
            str,
            AfterValidator(_check_amount),
            Field(json_schema_extra={"pattern": f"^{_AMOUNT.pattern}$"}),
        ]
        | None,
        Field(
            description="A decimal string, exact; null takes away what is stored of the campaign "
            "and day.",
            examples=["120.50"],
        ),
    ]
    currency: NotRequired[Currency | None]


_ENTRY: TypeAdapter[SpendEntry] = TypeAdapter(SpendEntry)
ENTRIES: TypeAdapter[list[SpendEntry]] = TypeAdapter(
    Annotated[list[SpendEntry], Field(min_length=1)]
)
"""The JSON of an import."""


def read_entries(entries: Sequence[SpendEntry]) -> list[Spend]:
    """Return what the entries of a JSON array say.

    Raises:
        SpendError: two are of the same campaign and day.
    """
    return _distinct([(str(place), _spend(entry)) for place, entry in enumerate(entries)])


def read_csv(body: bytes) -> list[Spend]:
    """Return what the lines of a CSV file say; the first names the columns.

    Raises:
        SpendError: it is no such file, or a line is wrong.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise SpendError([Fault(f"line {line}", "It is not UTF-8", "encoding")]) from error
    reader = csv.reader(text.splitlines(), strict=True)
    found: list[tuple[str, Spend]] = []
    faults: list[Fault] = []
    names: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            faults.append(Fault(f"line {reader.line_num}", str(error).capitalize(), "csv"))
            break
        if not any(cells):
            continue
        place = f"line {reader.line_num}"
        if names is None:
            names = _column_names(cells)
            continue
        if len(cells) != len(names):
            message = f"{len(cells)} cells, but the header has {len(names)}"
            faults.append(Fault(place, message, "cells"))
            continue
        # an empty cell is an amount or a currency that is not given
        entry = {name: cell.strip() or None for name, cell in zip(names, cells, strict=True)}
        try:
            found.append((place, _spend(_ENTRY.validate_python(entry))))
        except ValidationError as error:
            faults += [
                Fault(_place(each, place), each["msg"], each["type"])
                for each in error.errors(include_url=False, include_input=False)
            ]
    if names is None:
        faults.append(Fault("line 1", _wanted_columns(), "empty"))
    elif not found and not faults:
        faults.append(Fault("line 2", "There are no lines after the header", "empty"))
    if faults:
        raise SpendError(faults)
    return _distinct(found)


def _column_names(cells: list[str]) -> list[str]:
    by_name = {name.lower(): name for name in COLUMNS}
    names = [by_name.get(cell.strip().lower(), cell.strip()) for cell in cells]
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown or len({*names}) != len(names):
        raise SpendError([Fault("line 1", _wanted_columns(), "header")])
    return names


def _wanted_columns() -> str:
    return f"Expected the columns {', '.join(REQUIRED_COLUMNS)} and, if you like, {COLUMNS[-1]}"


def _spend(entry: SpendEntry) -> Spend:
    amount = entry["amount"]
    return Spend(
        datetime.date.fromisoformat(entry["date"]),
        entry["source"],
        entry["campaignId"],
        None if amount is None else Decimal(amount),
    )


def _distinct(found: list[tuple[str, Spend]]) -> list[Spend]:
    """Return the entries, unless two of them are of the same campaign and day."""
    first: dict[tuple[datetime.date, str, str], str] = {}
    faults: list[Fault] = []
    for place, each in found:
        key = (each.day, each.source, each.campaign_id)
        if key in first:
            message = f"The same date, source and campaignId as in {first[key]}"
            faults.append(Fault(place, message, "repeated"))
        first.setdefault(key, place)
    if faults:
        raise SpendError(faults)
    return [each for _, each in found]


def _place(error: ErrorDetails, place: str) -> str:
    return ", ".join((place, *map(str, error["loc"])))


def store(connection: psycopg.Connection[Any], spend: Sequence[Spend], *, dry_run: bool) -> Stored:
    """Store an import in the transaction of a connection: for each campaign and day the last wins.

    Args:
        connection: may write to the schema `workspace`.
        spend: at most one entry of a campaign and day.
        dry_run: say what it would do, and do nothing.
    """
    # two imports that meet lock their rows in the same order
    ordered = sorted(spend, key=lambda each: (each.day, each.source, each.campaign_id))
    columns = [asdict(each) for each in ordered]
    params = {
        name: [each[name] for each in columns]
        for name in ("day", "source", "campaign_id", "amount")
    }
    statement = cast(LiteralString, _queries.store_spend.sql)
    with (
        connection.transaction(force_rollback=dry_run),
        connection.cursor(row_factory=class_row(Stored)) as cursor,
    ):
        stored = cursor.execute(statement, params).fetchone()
    assert stored is not None
    return stored
