"""Paths, the models of the system API, and error responses of the gateway."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from functions.common.http.front_door import RawResponse
from functions.common.problem import PROBLEM_JSON, problem
from infra.local.errors import GatewayRefusalError
from infra.local.gateway.http1.bodies import BODIES

Model = TypeVar("Model", bound=BaseModel)

FUNCTION_PREFIX, ASYNC_PREFIX = "/function/", "/async-function/"
FUNCTION_PREFIXES = (FUNCTION_PREFIX, ASYNC_PREFIX)
MAX_BODY_BYTES = 1024**2


def text_error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error of the system API: plain text, which faas-cli shows as it is."""
    return web.Response(status=status, text=message + "\n", headers=headers)


def problem_answer(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **extensions: Any
) -> RawResponse:
    """Return an error of the gateway in place of a function's response."""
    body = json.dumps(problem(status, detail, **extensions)).encode()
    return RawResponse(status, body, PROBLEM_JSON, headers or {})


def refusal_answer(target: str, error: GatewayRefusalError) -> RawResponse:
    """Return the answer to a request that is refused; `target`: its path."""
    if target.startswith(FUNCTION_PREFIXES):
        return problem_answer(error.status, error.detail, error.headers)
    text = f"{error.detail}\n".encode("utf-8", "replace")
    return RawResponse(error.status, text, "text/plain; charset=utf-8", error.headers)


def to_response(answer: RawResponse) -> web.Response:
    """Return a response of aiohttp."""
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def read_model(request: web.Request, model: type[Model]) -> Model:
    """Return the request's body as a model.

    Raises:
        web.HTTPBadRequest: it does not match the model.
        GatewayRefusalError: it is too large, or does not come.
    """
    body = await request.app[BODIES].receive(request, MAX_BODY_BYTES)
    try:
        return model.model_validate_json(body or b"null")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise web.HTTPBadRequest(text=f"{where}: {first['msg']}\n") from None
