"""What a report consists of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..database import Snapshot
from ..query.filters import Query


@dataclass(frozen=True)
class Report:
    """One question that can be asked.

    Attributes:
        name: the last part of its path, `/analytics/<name>`.
        summary: what it tells, in a few words.
        description: what a reader must know about it, Markdown.
        query: its parameters.
        answer: the type of its answer.
        compute: computes the answer from one snapshot of the database.
        exports: what it answers besides JSON, as the contract has it: by content type.
    """

    name: str
    summary: str
    description: str
    query: type[Query]
    answer: Any
    compute: Callable[[Snapshot, Any], Any]
    exports: Mapping[str, Any] = field(default_factory=dict)
