"""The routes of the reference: `/openapi.json`, `/api` and its files, `/schemas/<source>.json`."""

import asyncio
from collections.abc import Callable
from functools import cache, partial

import orjson

from functions.common import health
from functions.common.events import SOURCES
from functions.common.http import swagger_ui
from functions.common.http.asgi import Handler, Request
from functions.common.http.cacheable import CacheableBody, respond
from functions.common.http.front_door import READ_METHODS, RawResponse, Route

from ..settings import settings


@cache
def _openapi_document() -> CacheableBody:
    from .openapi import document  # noqa: PLC0415 - takes time that the start of ingest has not

    return CacheableBody.of(orjson.dumps(document(settings())), health.JSON)


@cache
def _schema(source: str) -> CacheableBody:
    from .schemas import MEDIA_TYPE, source_schema  # noqa: PLC0415 - the same

    return CacheableBody.of(orjson.dumps(source_schema(source)), MEDIA_TYPE)


def _openapi(request: Request) -> RawResponse:
    return respond(_openapi_document(), request.headers)


def _source_schema(source: str, request: Request) -> RawResponse:
    return respond(_schema(source), request.headers)


def _swagger_ui(request: Request) -> RawResponse:
    return swagger_ui.respond_swagger_ui("Universe ingest API", request.path, request.headers)


def _file(name: str, request: Request) -> RawResponse:
    return swagger_ui.respond_file(name, request.headers)


def _route(respond: Callable[[Request], RawResponse]) -> Route[Handler]:
    async def handler(request: Request) -> RawResponse:
        # what is made at the first request takes longer than the event loop should be held up
        return await asyncio.to_thread(respond, request)

    return Route(READ_METHODS, handler)


ROUTES: dict[str, Route[Handler]] = {
    swagger_ui.OPENAPI_JSON: _route(_openapi),
    swagger_ui.API: _route(_swagger_ui),
    **{swagger_ui.ASSETS + name: _route(partial(_file, name)) for name in swagger_ui.FILE_NAMES},
    **{f"/schemas/{name}.json": _route(partial(_source_schema, name)) for name in SOURCES},
}
