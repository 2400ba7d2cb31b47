"""What an alert watches, or a summary reports; and who is told."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from ..query.filters import WhatFilters
from .figures import FIGURES, known_figure

Interval = Literal["hour", "day", "week"]
Condition = Literal["above", "below", "risen", "fallen"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
COMPARED: tuple[Condition, ...] = ("risen", "fallen")
"""Conditions about the change against the same interval a week before."""
MAX_EMAILS = 10
MAX_URL = 2000
_EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
_URL = r"^https?://[!-~]+$"

FigureName = Annotated[
    str,
    AfterValidator(known_figure),
    WithJsonSchema({"type": "string", "enum": list(FIGURES)}),
]
Email = Annotated[str, Field(max_length=254, pattern=_EMAIL)]


def _webhook(text: str) -> str:
    parts = urlsplit(text)
    try:
        usable = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        raise PydanticCustomError(
            "invalid_url", "Expected a URL such as https://hooks.example.com/universe"
        )
    return text


Webhook = Annotated[str, Field(max_length=MAX_URL, pattern=_URL), AfterValidator(_webhook)]


def _filters(given: dict[str, Any]) -> dict[str, Any]:
    """Check filters as a report takes them; each is kept in the words that it was given in."""
    texts: Any = given.get("filter", [])
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):  # type: ignore[misc]
        raise PydanticCustomError("invalid_filters", "filter: Expected a list of texts")
    try:
        WhatFilters.model_validate(given)
    except ValidationError as error:
        [fault, *_] = error.errors(include_url=False, include_input=False)
        name = ".".join(map(str, fault["loc"][:1])) or "filters"
        raise PydanticCustomError(
            "invalid_filters", "{name}: {message}", {"name": name, "message": fault["msg"]}
        ) from error
    return {name: value for name, value in given.items() if value not in (None, [], ())}


Filters = Annotated[
    dict[str, Any],
    AfterValidator(_filters),
    WithJsonSchema(
        {"type": "object", "additionalProperties": False, **{
            key: value for key, value in WhatFilters.model_json_schema().items()
            if key == "properties"
        }}
    ),
]  # fmt: skip
Limit = Annotated[
    str, Field(max_length=22, pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?$", examples=["30"])
]
_STRICT = ConfigDict(extra="forbid")


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class FigureRule:
    """A figure that is watched: its value in each hour, day or week of the workspace's time zone.

    `value` is what it is compared with. `above` and `below`: the figure itself (a rate as a part
    of 1: 0.05 is 5 %). `risen` and `fallen`: the change against the same interval a week before, in
    per cent; that of a rate in percentage points.
    """

    kind: Literal["figure"] = "figure"
    figure: FigureName
    interval: Interval = "day"
    condition: Condition
    value: Limit
    filters: Filters = Field(default_factory=dict)

    @property
    def limit(self) -> Decimal:
        """The value that the figure, or its change, is compared with."""
        return Decimal(self.value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if FIGURES[self.figure].by_day and self.interval == "hour":
            raise PydanticCustomError(
                "by_day", "What was spent is known by days: choose the interval day or week"
            )
        if self.condition in COMPARED and not self.limit:
            raise PydanticCustomError("no_change", "A change is by more than 0")
        return self


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class SummaryRule:
    """The figures of the last day, or of the last seven days, and their change against before.

    It is sent every day, or on a `weekday`, at an `hour` of the workspace's time zone.
    """

    kind: Literal["summary"] = "summary"
    every: Literal["day", "week"] = "week"
    weekday: Weekday = "monday"
    hour: int = Field(8, ge=0, le=23)
    filters: Filters = Field(default_factory=dict)


Rule = Annotated[FigureRule | SummaryRule, Field(discriminator="kind")]
RULE: TypeAdapter[FigureRule | SummaryRule] = TypeAdapter(Rule)


def rule_json(rule: FigureRule | SummaryRule) -> str:
    """Return a rule as it is stored, which `RULE` reads again."""
    return RULE.dump_json(rule).decode()


def shown_webhook(url: str) -> str:
    """Return what may be shown of a URL: who knows the rest may post there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{re.sub(r'^.*@', '', parts.netloc)}/…"
