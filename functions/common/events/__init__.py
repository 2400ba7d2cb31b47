"""The event contract: one module a source, found by itself.

A new source is a new module in this folder that defines `SOURCE` (a `contract.Source`).
"""

import functools
import importlib
import operator
import pkgutil
from decimal import Decimal
from typing import Annotated, Any, TypedDict

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from functions.common.contract import Source

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        importlib.import_module(f"{__name__}.{module.name}").SOURCE
        for module in pkgutil.iter_modules(__path__)
    )
}


def _check_source(name: str) -> str:
    if name not in SOURCES:
        raise PydanticCustomError(
            "unknown_source", "Known sources: {known}", {"known": ", ".join(sorted(SOURCES))}
        )
    return name


SourceName = Annotated[
    str, AfterValidator(_check_source), Field(json_schema_extra={"enum": [*sorted(SOURCES)]})
]
"""The name of a source, where somebody asks for one."""

# A TypeAdapter over TypedDicts checks about four times as many events per second as BaseModels.
_event_types: list[Any] = [source.event for source in SOURCES.values()]
_any_event: Any = functools.reduce(operator.or_, _event_types)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - a union of types
_event_type: Any = Annotated[_any_event, Field(discriminator="source")]
EVENT: TypeAdapter[dict[str, Any]] = TypeAdapter(_event_type)
"""Checks an event; the result has the fields that it knows, and `timestamp` as a datetime."""

validate_json = EVENT.validator.validate_json
"""Check the JSON text of one event. Raises pydantic's `ValidationError`."""


MAX_ERRORS = 20
"""Things that are wrong with one event and are told; there are hardly more fields."""
MAX_SUMMARIZED = 3
_MAX_MESSAGE = 200
_MAX_SUMMARY = 300


class ErrorDetail(TypedDict):
    """One thing that is wrong with an event."""

    loc: list[str | int]
    msg: str
    type: str


def explain(error: ValidationError, max_errors: int = MAX_ERRORS) -> list[ErrorDetail]:
    """Return what is wrong with an event, `max_errors` things or fewer; `loc` is a path in it."""
    errors = error.errors(include_url=False, include_input=False)
    return [_detail(each) for each in errors[:max_errors]]


def _detail(error: ErrorDetails) -> ErrorDetail:
    kind, loc, message = error["type"], error["loc"], error["msg"]
    # pydantic puts the tags of the unions, source and stage, before the path in the event,
    # and names no path where a tag itself is wrong
    tags = 0
    if loc and loc[0] in SOURCES:
        tags = 2 if loc[1:2] in (("top",), ("bottom",)) else 1
    path = list(loc[tags:])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = error.get("ctx", {})
        path.append(str(context["discriminator"]).strip("'"))
        expected = context.get("expected_tags")
        message = f"Input should be one of {expected}" if expected else "Field required"
    if kind == "string_unicode":
        message = "Input should be a valid unicode string, without lone surrogates"
    return {"loc": path, "msg": message[:_MAX_MESSAGE], "type": kind}


def summarize(details: list[ErrorDetail], count: int | None = None) -> str:
    """Return what is wrong with an event as one line for people.

    Args:
        details: what is wrong.
        count: how many things there are, where that is more than `details` tell.
    """
    parts = [
        ".".join(map(str, d["loc"])) + ": " + d["msg"] if d["loc"] else d["msg"]
        for d in details[:MAX_SUMMARIZED]
    ]
    more = (len(details) if count is None else count) - MAX_SUMMARIZED
    return "; ".join(parts)[:_MAX_SUMMARY] + (f" (and {more} more)" if more > 0 else "")


def columns(event: dict[str, Any]) -> tuple[str, str | None, str | None, Decimal | None]:
    """Return a validated event's user id, country, campaign id and revenue."""
    return SOURCES[event["source"]].report_fields(event)[:4]


def demographics(event: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the groups that a validated event's user belongs to, as (dimension, value) pairs."""
    source = SOURCES[event["source"]]
    return tuple(zip(source.dimensions, source.report_fields(event)[4], strict=False))
