"""The definition of a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ..database import Snapshot
from ..query.filters import QueryParameters


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        name: the last part of its path, `/analytics/<name>`.
        summary: a title of a few words.
        description: what its figures mean, Markdown.
        query: the type of its query parameters.
        response: the type of its JSON response.
        compute: returns the response, from one snapshot of the database.
        age: how old an answer may be that the clock changes; None: only the events change it.
        exports: OpenAPI media types of its formats besides JSON, by content type.
    """

    name: str
    summary: str
    description: str
    query: type[QueryParameters]
    response: Any
    compute: Callable[[Snapshot, Any], Any]
    age: timedelta | None = None
    exports: Mapping[str, Any] = field(default_factory=dict[str, Any])
