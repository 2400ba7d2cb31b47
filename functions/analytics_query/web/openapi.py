"""The OpenAPI 3.1 document, generated from the types of the reports."""

from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from functions.common.http.openapi import SCHEMAS, problem_schema, response_of_problem

from ..access import API_KEY_HEADER
from ..query.filters import QueryParameters
from ..reports import REPORTS
from ..reports.report import Report
from ..workspace import WRITES
from ..workspace.write import Write

EXAMPLES = Path(__file__).resolve().parent.parent / "reports" / "examples"
"""One example response per report."""

PROBLEM_SCHEMA = problem_schema(
    errors={
        "type": "array",
        "description": "The invalid parameters.",
        "items": {
            "type": "object",
            "required": ["parameter", "message", "type"],
            "properties": {
                "parameter": {"type": "string"},
                "message": {"type": "string"},
                "type": {"type": "string"},
            },
        },
    }
)

RESPONSES: dict[str, Any] = {
    "NotModified": {"description": "The response with the ETag in If-None-Match is still current."},
    "Forbidden": response_of_problem(
        "The key may only read, or writing is off; the response says how to turn it on.",
        403,
        "This key may only read.",
    ),
    "NotByLink": response_of_problem(
        "A link does not read this, or not with these parameters; `share` is read by links only.",
        403,
        "A link does not read this.",
    ),
    "TooLarge": response_of_problem(
        "The body is larger than the limit.",
        413,
        "The body is larger than 4194304 bytes: send it in several requests.",
    ),
    "WrongType": response_of_problem(
        "The body is of another type.",
        415,
        "Send the body with Content-Type application/json.",
    ),
    "BadBody": response_of_problem("The body cannot be read.", 400, "The gzip body is truncated."),
    "Unauthorized": response_of_problem(
        "The API key is missing or wrong.",
        401,
        f"Send the API key in the header {API_KEY_HEADER}.",
    ),
    "Invalid": response_of_problem(
        "A parameter is invalid; the response names it.",
        422,
        "by: Input should be 'events' or 'revenue'",
        errors=[
            {
                "parameter": "by",
                "message": "Input should be 'events' or 'revenue'",
                "type": "literal_error",
            }
        ],
    ),
    "Unavailable": response_of_problem(
        "The report took too long, or the database is unavailable.",
        503,
        "The database cannot be reached. Try again later.",
    ),
}


def _parameters(query: type[QueryParameters]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(by_alias=True)
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
        for name, details in schema.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null: an optional query parameter is left out instead."""
    schema.pop("title", None)
    if schema.get("default", ...) is None:
        schema.pop("default")
    options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del schema["anyOf"]
        schema |= options[0]
    return schema


def _schemas() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the schemas of responses and bodies, by operation, and the components of them all."""
    responses, components = TypeAdapter.json_schemas(
        [
            *(
                (report.name, "serialization", TypeAdapter[Any](report.response))
                for report in REPORTS.values()
            ),
            *(
                (_operation_id(write), "serialization", TypeAdapter[Any](write.response))
                for write in WRITES
            ),
            *(
                (_body_id(write, media_type), "validation", body["schema"])
                for write in WRITES
                for media_type, body in write.bodies.items()
                if isinstance(body["schema"], TypeAdapter)
            ),
        ],
        ref_template=SCHEMAS + "{model}",
    )
    return {name: schema for (name, _), schema in responses.items()}, components["$defs"]


def _operation_id(write: Write) -> str:
    return f"{write.method.lower()}_{write.name.replace('/', '-')}"


def _body_id(write: Write, media_type: str) -> str:
    return f"{_operation_id(write)} {media_type}"


def _write_operation(write: Write, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = {
        media_type: body | {"schema": schemas.get(_body_id(write, media_type), body["schema"])}
        for media_type, body in write.bodies.items()
    }
    refusals = {"401": "Unauthorized", "403": "Forbidden", "422": "Invalid", "503": "Unavailable"}
    if write.bodies:
        refusals |= {"400": "BadBody", "413": "TooLarge", "415": "WrongType"}
    body = {"requestBody": {"required": True, "content": content}} if write.bodies else {}
    return {
        "operationId": _operation_id(write),
        "summary": write.summary,
        "description": write.description,
        "tags": ["workspace"],
        "security": [{}, {"apiKey": []}],
        "parameters": _parameters(write.query),
        **body,
        "responses": {
            "200": {
                "description": write.summary + ".",
                "content": {"application/json": {"schema": schemas[_operation_id(write)]}},
            },
            **{
                status: {"$ref": f"#/components/responses/{name}"}
                for status, name in sorted(refusals.items())
            },
        },
    }


def _response(report: Report, schema: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    example = EXAMPLES / f"{report.name.replace('/', '-')}.json"
    if example.exists():
        content["example"] = orjson.loads(example.read_bytes())
    return {
        "description": report.summary + ".",
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "Entity tag for If-None-Match."},
            "X-Call-Id": {"schema": {"type": "string"}, "description": "Correlation id."},
        },
        "content": {"application/json": content, **report.exports},
    }


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    responses, schemas = _schemas()
    paths: dict[str, Any] = {
        f"/analytics/{report.name}": {
            "get": {
                "operationId": report.name.replace("/", "-"),
                "summary": report.summary,
                "description": report.description,
                "tags": ["analytics"],
                "security": [{}, {"apiKey": []}],
                "parameters": _parameters(report.query),
                "responses": {
                    "200": _response(report, responses[report.name]),
                    "304": {"$ref": "#/components/responses/NotModified"},
                    "401": {"$ref": "#/components/responses/Unauthorized"},
                    "403": {"$ref": "#/components/responses/NotByLink"},
                    "422": {"$ref": "#/components/responses/Invalid"},
                    "503": {"$ref": "#/components/responses/Unavailable"},
                },
            }
        }
        for report in REPORTS.values()
    }
    for write in WRITES:
        operation = _write_operation(write, responses)
        paths.setdefault(f"/analytics/{write.name}", {})[write.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Universe analytics",
            "version": "1",
            "description": "Reports on the stored marketing events. Time ranges are half-open "
            "(`from` inclusive, `to` exclusive), times are UTC, amounts are exact decimal strings.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "The address of this document"}],
        "tags": [
            {"name": "analytics", "description": "Reports"},
            {"name": "workspace", "description": "What a team keeps beside its events"},
        ],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM_SCHEMA, **schemas},
            "responses": RESPONSES,
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY_HEADER,
                    "description": "Required if the secret `analytics-api-key` is set. What writes "
                    "needs a key of the secret `analytics-write-key`, which reads as well.",
                }
            },
        },
    }
