"""JSON Schemas of events, generated from the event contract, and an example of each event type."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from functions.common.contract import Source
from functions.common.events import SOURCES

MEDIA_TYPE = "application/schema+json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXAMPLES = Path(__file__).resolve().parent / "examples"
"""A file for each source with one event of each type."""
EXAMPLES_DAY = b"2026-11-20"
"""The day of the times in these files."""

DESCRIPTION = (
    "Fields that are not listed are allowed everywhere: they are stored, and reports do not read "
    "them. A schema cannot say everything: integers are written without fraction or exponent, "
    "timestamps name a day of the calendar and are neither too old nor more than a day ahead, and "
    "numbers fit a 64-bit float."
)


class _SchemaGenerator(GenerateJsonSchema):
    """Leaves out the titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: core_schema.CoreSchema | Any) -> bool:
        return False


def components(source: Source, ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a source's events, and the schemas that it refers to by their names.

    Args:
        source: of the events.
        ref_template: a reference to the schema with the name `{model}`.
    """
    schema = TypeAdapter[Any](source.event).json_schema(
        ref_template=ref_template, schema_generator=_SchemaGenerator
    )
    return schema, schema.pop("$defs")


def source_schema(name: str) -> dict[str, Any]:
    """Return a source's events as a document of JSON Schema 2020-12."""
    schema, definitions = components(SOURCES[name], "#/$defs/{model}")
    schema.pop("discriminator", None)  # of OpenAPI
    return {
        "$schema": DIALECT,
        "title": f"Event of the source {name}",
        "description": DESCRIPTION,
        **schema,
        "examples": examples(name),
        "$defs": definitions,
    }


def examples(name: str) -> list[dict[str, Any]]:
    """Return one event of each type of a source, of yesterday: ingest refuses what is very old."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat().encode()
    text = (EXAMPLES / f"{name}.json").read_bytes()
    return orjson.loads(text.replace(EXAMPLES_DAY, yesterday))
