"""Filters by any property: `device:is:mobile`."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from .properties import Property, find_property, what_is_a_property
from .statements import SqlText

Operator = Literal["is", "isNot", "oneOf", "contains", "isSet", "isNotSet"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
WITHOUT_VALUE: tuple[Operator, ...] = ("isSet", "isNotSet")
MAX_FILTERS = 8
MAX_VALUES = 50
MAX_VALUE_LENGTH = 200
MAX_FILTER_LENGTH = 4000


@dataclass(frozen=True)
class PropertyFilter:
    """One condition on a property.

    Attributes:
        by: the name or the path of the property.
        operator: how it is compared.
        values: with what: several of `oneOf`, none of `isSet` and `isNotSet`, else one.
    """

    by: str
    operator: Operator
    values: tuple[str, ...] = ()

    @property
    def needs_value(self) -> bool:
        """Whether events that do not tell the property are left out, though not asked for."""
        return self.operator in ("is", "oneOf", "contains")

    def asked(self, operator: Operator) -> "PropertyFilter":
        """Return the condition of the same property with an operator that has no value."""
        return PropertyFilter(self.by, operator)

    def condition(self, prefix: str) -> SqlText:
        """Return the SQL of it; the names of its parameters begin with `prefix`."""
        value = property_of(self.by).value(prefix)
        text = {
            "is": f"({value.text}) = %({prefix})s",
            "isNot": f"({value.text}) IS DISTINCT FROM %({prefix})s",
            "oneOf": f"({value.text}) = ANY (%({prefix})s::text[])",
            "contains": f"position(lower(%({prefix})s::text) IN lower({value.text})) > 0",
            "isSet": f"({value.text}) IS NOT NULL",
            "isNotSet": f"({value.text}) IS NULL",
        }[self.operator]
        if self.operator in WITHOUT_VALUE:
            return SqlText(text, value.params)
        given = list(self.values) if self.operator == "oneOf" else self.values[0]
        return SqlText(text, {**value.params, prefix: given})


def all_conditions(filters: tuple[PropertyFilter, ...], prefix: str = "filter") -> SqlText:
    """Return the SQL of all filters together; `true` for none.

    Args:
        filters: all must hold.
        prefix: what the names of its parameters begin with.
    """
    conditions = [each.condition(f"{prefix}_{place}") for place, each in enumerate(filters)]
    params: dict[str, Any] = {}
    for condition in conditions:
        params |= condition.params
    text = " AND ".join(condition.text for condition in conditions)
    return SqlText(f"({text})" if text else "true", params)


def property_of(name: str) -> Property:
    """Return a property that a request has named.

    Raises:
        PydanticCustomError: there is none of this name, and it is no path.
    """
    found = find_property(name)
    if found is None:
        raise PydanticCustomError(
            "unknown_property", "Unknown property: {what}", {"what": what_is_a_property()}
        )
    return found


def _parse(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    name, first, rest = text.partition(":")
    operator, second, value = rest.partition(":")
    property_of(name)
    if not first or operator not in OPERATORS:
        raise PydanticCustomError(
            "unknown_operator",
            "A filter is property:operator:value, with one of the operators {operators}",
            {"operators": ", ".join(OPERATORS)},
        )
    if operator in WITHOUT_VALUE:
        if second:
            raise PydanticCustomError(
                "unexpected_value", "{operator} takes no value", {"operator": operator}
            )
        return PropertyFilter(name, operator)
    if not second:
        raise PydanticCustomError(
            "missing_value", "{operator} needs a value", {"operator": operator}
        )
    values = _values(value) if operator == "oneOf" else (value,)
    if operator == "contains" and not value:
        raise PydanticCustomError("missing_value", "contains needs a value")
    for each in values:
        if len(each) > MAX_VALUE_LENGTH or "\x00" in each:
            raise PydanticCustomError(
                "invalid_value",
                "A value has at most {most} characters, and none is NUL",
                {"most": MAX_VALUE_LENGTH},
            )
    return PropertyFilter(name, operator, values)


_TEXTS: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_VALUES)]
)


def _values(text: str) -> tuple[str, ...]:
    """Return several values: separated by commas, or of a JSON array, where one has a comma."""
    try:
        if text.startswith("["):
            return _TEXTS.validate_json(text, strict=True)
        return _TEXTS.validate_python(tuple(text.split(",")))
    except ValidationError as error:
        raise PydanticCustomError(
            "invalid_values",
            "oneOf takes up to {most} values separated by commas, or a JSON array of texts",
            {"most": MAX_VALUES},
        ) from error


Filters = Annotated[
    tuple[Annotated[PropertyFilter, BeforeValidator(_parse)], ...],
    Field(max_length=MAX_FILTERS),
    WithJsonSchema(
        {
            "type": "array",
            "maxItems": MAX_FILTERS,
            "items": {"type": "string", "maxLength": MAX_FILTER_LENGTH},
        }
    ),
]
