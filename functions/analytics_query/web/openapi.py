"""The contract: an OpenAPI 3.1 document made out of the reports' types."""

from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from functions.common.problem import PROBLEM_JSON

from ..access import API_KEY_HEADER
from ..reports import REPORTS
from ..reports.report import Report

REF = "#/components/schemas/"

EXAMPLES = Path(__file__).resolve().parent.parent / "reports" / "examples"
"""One answer a report."""

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "What is wrong with parameters.",
            "items": {
                "type": "object",
                "required": ["parameter", "message", "type"],
                "properties": {
                    "parameter": {"type": "string"},
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}


def _problem(description: str, status: int, title: str, detail: str, **more: Any) -> dict[str, Any]:
    example = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return {
        "description": description,
        "content": {
            PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }


RESPONSES: dict[str, Any] = {
    "NotModified": {"description": "The answer is still the one whose ETag was sent."},
    "Unauthorized": _problem(
        "An API key is set, and was not sent.",
        401,
        "Unauthorized",
        f"Send the API key in the header {API_KEY_HEADER}.",
    ),
    "Invalid": _problem(
        "A parameter is wrong; the answer names it.",
        422,
        "Unprocessable Content",
        "interval: Input should be 'minute', 'hour' or 'day'",
        errors=[
            {
                "parameter": "interval",
                "message": "Input should be 'minute', 'hour' or 'day'",
                "type": "literal_error",
            }
        ],
    ),
    "Unavailable": _problem(
        "The report took too long, or the database is away.",
        503,
        "Service Unavailable",
        "The database cannot be reached now. Try again soon.",
    ),
}


def _parameters(report: Report) -> list[dict[str, Any]]:
    schema = report.query.model_json_schema(by_alias=True)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": details.pop("description", ""),
            **({"example": details.pop("examples")[0]} if "examples" in details else {}),
            "schema": _without_null(details),
        }
        for name, details in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out, not null."""
    schema.pop("title", None)
    if schema.get("default", ...) is None:
        schema.pop("default")
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del schema["anyOf"]
        schema |= options[0]
    return schema


def _answer(report: Report, schemas: dict[str, Any]) -> dict[str, Any]:
    name = report.answer.__name__
    # reports have parts of the same name
    schema = TypeAdapter(report.answer).json_schema(
        ref_template=REF + name + "{model}", mode="serialization"
    )
    schemas |= {name + part: details for part, details in schema.pop("$defs", {}).items()}
    schemas[name] = schema
    content: dict[str, Any] = {"schema": {"$ref": REF + name}}
    example = EXAMPLES / f"{report.name}.json"
    if example.exists():
        content["example"] = orjson.loads(example.read_bytes())
    return {
        "description": report.summary + ".",
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "Send it in If-None-Match."},
            "X-Call-Id": {"schema": {"type": "string"}, "description": "Correlation id."},
        },
        "content": {"application/json": content, **report.exports},
    }


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    schemas: dict[str, Any] = {"Problem": PROBLEM_SCHEMA}
    paths = {
        f"/analytics/{report.name}": {
            "get": {
                "operationId": report.name,
                "summary": report.summary,
                "description": report.description,
                "tags": ["analytics"],
                "security": [{}, {"apiKey": []}],
                "parameters": _parameters(report),
                "responses": {
                    "200": _answer(report, schemas),
                    "304": {"$ref": "#/components/responses/NotModified"},
                    "401": {"$ref": "#/components/responses/Unauthorized"},
                    "422": {"$ref": "#/components/responses/Invalid"},
                    "503": {"$ref": "#/components/responses/Unavailable"},
                },
            }
        }
        for report in REPORTS.values()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Universe analytics",
            "version": "1",
            "description": "Reports over the stored marketing events. Ranges are half-open "
            "(`from` inclusive, `to` exclusive), times are UTC, amounts are exact decimal strings.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "Where this document is"}],
        "tags": [{"name": "analytics", "description": "Reports"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": RESPONSES,
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY_HEADER,
                    "description": "Needed where the secret `analytics-api-key` is set.",
                }
            },
        },
    }
