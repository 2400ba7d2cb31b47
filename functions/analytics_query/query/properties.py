"""What events can be filtered and broken down by, and where each event has it.

A property is a column of `events`, a field of an event's `data` as its contract names it, a band of
numbers (an age group), or any other path of `data` or `extra`. Its value is a text: a number, true
or false as JSON writes it, an object or an array as its JSON. Null is no value.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, cast, get_args

from typing_extensions import get_type_hints, is_typeddict

from functions.common.contract import Bands, Source
from functions.common.events import SOURCES

from .statements import SqlText, fragments

MAX_PATH_LENGTH = 200
MAX_PATH_DEPTH = 8
ROOTS = ("data", "extra")
"""What a path begins with: the event's `data`, or the fields beside it that no contract knows."""

COLUMNS = {
    "source": "source",
    "funnelStage": "funnel_stage",
    "eventType": "event_type",
    "campaignId": "campaign_id",
    "country": "country",
    "userId": "user_id",
}
"""Properties that are columns."""
_SHORTER_NAMES = {"purchasedItem": "item"}
_KEY = re.compile(r"[\w-]{1,64}")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Property:
    """One property.

    Attributes:
        name: as it is asked for.
        sources: whose events have it, as far as their contracts say.
        column: where it is one.
        paths: below `data` or `extra`, with that root; without a column the first one that has a
            value counts.
        bands: where it is a band of the number at the first path.
    """

    name: str
    sources: tuple[str, ...] = ()
    column: str | None = None
    paths: tuple[Path, ...] = ()
    bands: Bands | None = field(default=None, compare=False)

    def value(self, prefix: str) -> SqlText:
        """Return the SQL expression of its value in a row of `events`, null where it has none.

        Args:
            prefix: what the names of its parameters begin with.
        """
        if self.column is not None:
            told = self.column == "country"
            return SqlText(told_country() if told else self.column, {})
        params: dict[str, Any] = {
            f"{prefix}_path_{place}": list(path[1:]) for place, path in enumerate(self.paths)
        }
        texts = [
            f"{path[0]} #>> %({prefix}_path_{place})s::text[]"
            for place, path in enumerate(self.paths)
        ]
        if self.bands is None:
            return SqlText(texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})", params)
        number = f"{self.paths[0][0]} #> %({prefix}_path_0)s::text[]"
        params |= {f"{prefix}_ends": [*self.bands.ends], f"{prefix}_labels": [*self.bands.labels]}
        return SqlText(
            f"CASE WHEN jsonb_typeof({number}) = 'number' THEN (%({prefix}_labels)s::text[])"
            f"[1 + width_bucket(({texts[0]})::numeric, %({prefix}_ends)s::numeric[])] END",
            params,
        )


def told_country() -> str:
    """Return the fragment of the country of an event, or of its user."""
    return re.sub(r":(told|country)\b", r"%(\1)s", fragments()["told_country"])


@functools.cache
def known_properties() -> Mapping[str, Property]:
    """Return the properties that have a name of their own: columns, and what the contracts say."""
    sources: dict[str, set[str]] = {name: set(SOURCES) for name in COLUMNS}
    paths: dict[str, list[Path]] = {}
    bands: dict[str, Bands] = {}
    for source in SOURCES.values():
        for path in _paths_of(source):
            name = _SHORTER_NAMES.get(path[-1], path[-1])
            sources.setdefault(name, set()).add(source.name)
            of_name = paths.setdefault(name, [])
            of_name += [path] if path not in of_name else []
        for name, of_source in source.bands.items():
            sources.setdefault(name, set()).add(source.name)
            paths[name] = [("data", *of_source.path)]
            bands[name] = of_source
    return {
        name: Property(
            name,
            tuple(sorted(of)),
            COLUMNS.get(name),
            tuple(paths.get(name, ())),
            bands.get(name),
        )
        for name, of in sources.items()
    }


def find_property(name: str) -> Property | None:
    """Return a property by its name or by its path; None where it can be neither."""
    known = known_properties().get(name)
    if known is not None:
        return known
    root, *keys = name.split(".")
    if (
        root not in ROOTS
        or not 1 <= len(keys) <= MAX_PATH_DEPTH
        or len(name) > MAX_PATH_LENGTH
        or not all(_KEY.fullmatch(key) for key in keys)
    ):
        return None
    return Property(name, paths=((root, *keys),))


def what_is_a_property() -> str:
    """Return in words what a property may be."""
    return (
        f"a property is one of {', '.join(known_properties())}, or a path such as "
        f"data.engagement.device: up to {MAX_PATH_DEPTH} names of letters, digits, _ and - below "
        f"{' or '.join(ROOTS)}, {MAX_PATH_LENGTH} characters in all"
    )


def _paths_of(source: Source) -> Iterator[Path]:
    for kind in get_args(get_args(source.event)[0]) or (source.event,):
        if is_typeddict(kind):
            yield from _leaves(("data",), get_type_hints(kind)["data"])


def _leaves(path: Path, of: Any) -> Iterator[Path]:
    for name, hint in get_type_hints(of).items():
        given = [each for each in get_args(hint) if each is not NoneType]
        inner = given[0] if len(given) == 1 else hint
        if is_typeddict(inner):
            yield from _leaves((*path, name), cast(Any, inner))
        else:
            yield (*path, name)
