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
from .openapi import document
from .scripts import serve_scripts

PAGE_FOLDER = Path(__file__).resolve().parent.parent / "page"
DASHBOARD = "/"

FIRST = ("early.js", "dashboard.js")
"""The modules that the page begins with, in the order in which they are needed."""
SCRIPTS = serve_scripts(
    {
        file.relative_to(PAGE_FOLDER).as_posix(): file.read_text(encoding="utf-8")
        for file in PAGE_FOLDER.rglob("*.js")
    },
    FIRST,
)
"""The page's scripts as they are served, by their names, which begin with their folders."""
PAGE_FILES = {**look.FILES, "dashboard.css": PAGE_FOLDER / "dashboard.css"}
"""The paths of the page's other files by their names."""
FILES = {**swagger_ui.files(), **PAGE_FILES}
"""The paths of the static files by their names below `/assets/`."""


def _version() -> str:
    """Return a name of the page's files that changes with any of them."""
    digest = hashlib.blake2b(digest_size=8)
    for name, body in sorted(
        [(name, file.read_bytes()) for name, file in PAGE_FILES.items()]
        + [(name, script.encode()) for name, script in SCRIPTS.items()]
    ):
        digest.update(name.encode() + b"\0" + body)
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


def _static_file(file: Path, request: flask.Request) -> flask.Response:
    return to_response(respond(read_file(file), request.headers))


def _version_file(file: Path, request: flask.Request) -> flask.Response:
    return to_response(respond(read_file(file), request.headers, cache_control=IMMUTABLE))


@functools.cache
def _script_body(name: str) -> CacheableBody:
    return CacheableBody.of(SCRIPTS[name].encode(), "text/javascript; charset=utf-8")


def _script(name: str, request: flask.Request) -> flask.Response:
    return to_response(respond(_script_body(name), request.headers))


def _version_script(name: str, request: flask.Request) -> flask.Response:
    found = _script_body(name)
    return to_response(respond(found, request.headers, cache_control=IMMUTABLE))


ROUTES: dict[str, Route[Handler]] = {
    DASHBOARD: Route(READ_METHODS, _dashboard),
    API: Route(READ_METHODS, _swagger_ui),
    OPENAPI_JSON: Route(READ_METHODS, _openapi),
    **{
        ASSETS + name: Route(READ_METHODS, functools.partial(_static_file, file))
        for name, file in FILES.items()
    },
    **{
        VERSION_FOLDER + name: Route(READ_METHODS, functools.partial(_version_file, file))
        for name, file in PAGE_FILES.items()
    },
    **{ASSETS + name: Route(READ_METHODS, functools.partial(_script, name)) for name in SCRIPTS},
    **{
        VERSION_FOLDER + name: Route(READ_METHODS, functools.partial(_version_script, name))
        for name in SCRIPTS
    },
}
