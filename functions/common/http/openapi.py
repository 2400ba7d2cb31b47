"""What the OpenAPI documents of the functions have in common."""

from typing import Any

from functions.common.problem import PROBLEM_JSON, problem

SCHEMAS = "#/components/schemas/"
RESPONSES = "#/components/responses/"


def problem_schema(**extensions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of problem details.

    Args:
        extensions: the schemas of further members that some problems have.
    """
    return {
        "type": "object",
        "title": "Problem",
        "description": "RFC 9457 problem details.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            **extensions,
        },
    }


def response_of_problem(
    description: str,
    status: int,
    detail: str,
    *,
    headers: dict[str, Any] | None = None,
    **extensions: Any,
) -> dict[str, Any]:
    """Return the response object of a problem.

    Args:
        description: when it is answered, and what to do then.
        status: of the example.
        detail: of the example.
        headers: of the response, besides those of every response.
        extensions: further members of the example.
    """
    return {
        "description": description,
        **({"headers": headers} if headers else {}),
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": SCHEMAS + "Problem"},
                "example": problem(status, detail, **extensions),
            }
        },
    }
