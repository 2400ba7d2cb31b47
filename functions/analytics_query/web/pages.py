"""The dashboard, Swagger UI, the OpenAPI document, and the static files they need.

Nothing is loaded from other hosts, and every link is relative: the function works below any path.
"""

import base64
import functools
import hashlib
import re
from pathlib import Path

import flask
import orjson

from functions.common.events import SOURCES
from functions.common.http import look, swagger_ui
from functions.common.http.cacheable import IMMUTABLE, CacheableBody, read_file, respond
from functions.common.http.front_door import READ_METHODS, Route
from functions.common.http.swagger_ui import API, ASSETS, OPENAPI_JSON
from functions.common.http.wsgi import Handler, to_response

from ..settings import settings
from . import scripts
from .openapi import document

PAGE_FOLDER = Path(__file__).resolve().parent.parent / "page"
DASHBOARD = "/"

FIRST = ("early.js", "dashboard.js")
"""The modules that the page begins with, in the order in which they are needed."""
SCRIPT_FILES = {
    file.relative_to(PAGE_FOLDER).as_posix(): file for file in PAGE_FOLDER.rglob("*.js")
}
"""The paths of the page's modules by their names, which begin with their folders."""
PAGE_FILES = {**look.FILES, **SCRIPT_FILES, "dashboard.css": PAGE_FOLDER / "dashboard.css"}
"""The paths of the page's files by their names."""
FILES = {**swagger_ui.files(), **PAGE_FILES}
"""The paths of the static files by their names below `/assets/`."""


def _version() -> str:
    """Return a name of the page's files that changes with any of them."""
    digest = hashlib.blake2b(digest_size=8)
    # what is served of the modules changes with how they are put together, too
    files = {**PAGE_FILES, "": Path(scripts.__file__)}
    for name, file in sorted(files.items()):
        digest.update(name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


VERSION_FOLDER = f"{ASSETS}{_version()}/"
"""Where the page's files are found that clients keep: the path changes with any of them."""
_of_any_version = re.compile(rf"{ASSETS}[0-9a-f]{{16}}/").match


@functools.cache
def _openapi_document() -> CacheableBody:
    body = orjson.dumps(document(), option=orjson.OPT_INDENT_2)
    return CacheableBody.of(body, "application/json")


def find_route(path: str) -> str:
    """Return the route of a path: one of `ROUTES`, or a path that is none of them.

    A page that an older replica has sent gets the present files, to be kept under no name.
    """
    if path not in ROUTES and (found := _of_any_version(path)):
        return ASSETS + path[found.end() :]
    return {"": DASHBOARD, API + "/": API}.get(path, path)


def _inline_script_hash() -> str:
    """Return the CSP source of the page's inline script, which runs before relative links load."""
    script = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8").split("<script>")[1]
    digest = hashlib.sha256(script.split("</script>")[0].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@functools.cache
def _policy() -> str:
    return swagger_ui.content_security_policy(
        [_inline_script_hash()], settings().analytics_embed_origins
    )


@functools.cache
def _page() -> CacheableBody:
    assets = VERSION_FOLDER.removeprefix("/")
    text = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8")
    text = text.replace("{assets}", assets)
    text = text.replace("{timezone}", settings().timezone)
    text = text.replace("{sources}", " ".join(SOURCES))
    text = text.replace("{currency}", settings().currency or "")
    return CacheableBody.of(text.encode(), "text/html; charset=utf-8")


def _dashboard(request: flask.Request) -> flask.Response:
    return to_response(swagger_ui.respond_page(_page(), request.headers, _policy()))


def _swagger_ui(request: flask.Request) -> flask.Response:
    title = "Universe analytics API"
    return to_response(swagger_ui.respond_swagger_ui(title, request.path, request.headers))


def _openapi(request: flask.Request) -> flask.Response:
    return to_response(respond(_openapi_document(), request.headers))


@functools.cache
def _scripts() -> dict[str, CacheableBody]:
    sources = {name: file.read_text(encoding="utf-8") for name, file in SCRIPT_FILES.items()}
    return {
        name: CacheableBody.of(script.encode(), "text/javascript; charset=utf-8")
        for name, script in scripts.serve_scripts(sources, FIRST).items()
    }


def _body(name: str) -> CacheableBody:
    return _scripts()[name] if name in SCRIPT_FILES else read_file(FILES[name])


def _static_file(name: str, request: flask.Request) -> flask.Response:
    return to_response(respond(_body(name), request.headers))


def _version_file(name: str, request: flask.Request) -> flask.Response:
    return to_response(respond(_body(name), request.headers, cache_control=IMMUTABLE))


ROUTES: dict[str, Route[Handler]] = {
    DASHBOARD: Route(READ_METHODS, _dashboard),
    API: Route(READ_METHODS, _swagger_ui),
    OPENAPI_JSON: Route(READ_METHODS, _openapi),
    **{ASSETS + name: Route(READ_METHODS, functools.partial(_static_file, name)) for name in FILES},
    **{
        VERSION_FOLDER + name: Route(READ_METHODS, functools.partial(_version_file, name))
        for name in PAGE_FILES
    },
}
