"""Errors as HTTP answers."""

from collections.abc import Mapping
from typing import Any

import flask
import orjson
from pydantic import ValidationError

from functions.common.problem import PROBLEM_JSON, problem


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **extensions: Any
) -> flask.Response:
    """Return an error as RFC 9457 problem details."""
    response = flask.Response(
        orjson.dumps(problem(status, detail, **extensions)), status, mimetype=PROBLEM_JSON
    )
    response.headers.update({"Cache-Control": "no-store"} | dict(headers or {}))
    return response


def invalid(faults: list[dict[str, str]]) -> flask.Response:
    """Return what is wrong with a request's parameters; each fault names its parameter."""
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in faults)
    return problem_response(422, detail, errors=faults)


def faults_of(error: ValidationError) -> list[dict[str, str]]:
    """Return what is wrong with parameters, one entry each."""
    return [
        {
            "parameter": str(
                fault["loc"][0] if fault["loc"] else fault.get("ctx", {}).get("parameter", "")
            ),
            "message": _message(fault["type"], fault["msg"]),
            "type": fault["type"],
        }
        for fault in error.errors(include_url=False, include_input=False)
    ]


def _message(kind: str, message: str) -> str:
    return "There is no such parameter" if kind == "extra_forbidden" else message
