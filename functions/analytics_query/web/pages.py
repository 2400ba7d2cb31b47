"""The dashboard, Swagger UI, the OpenAPI document, and the static files they need.

Nothing is loaded from other hosts, and every link is relative: the function works below any path.
"""

import base64
import functools
import gzip
import hashlib
import importlib.util
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import flask
import orjson

from functions.common.http.front_door import READ_METHODS, Route
from functions.common.http.wsgi import Handler

from .http_response import cacheable_response
from .openapi import document

PAGE_FOLDER = Path(__file__).resolve().parent.parent / "page"
DASHBOARD = "/"
API = "/api"
OPENAPI_JSON = "/openapi.json"
ASSETS = "/assets/"

MIN_COMPRESSED_BYTES = 1024
"""Files of at least this size are also stored compressed."""


@dataclass(frozen=True)
class Asset:
    """A static file in memory."""

    body: bytes
    compressed: bytes | None
    content_type: str
    etag: str


def _package_file(package: str, *path: str) -> Path:
    """Return the path of a file of an installed package, without importing the package."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.joinpath(*path)


def _files() -> dict[str, Path]:
    """Return the paths of the static files by their names below `/assets/`."""
    swagger = ("flask_openapi3_swagger", "templates", "swagger")
    packaged = {
        "plotly.min.js": _package_file("plotly", "package_data", "plotly.min.js"),
        "swagger-ui.css": _package_file(*swagger, "css", "swagger-ui.css"),
        "swagger-ui-bundle.js": _package_file(*swagger, "js", "swagger-ui-bundle.js"),
    }
    own = {
        file.name: file for file in PAGE_FOLDER.iterdir() if file.suffix in (".js", ".css", ".svg")
    }
    return packaged | own


FILES = _files()


@functools.cache
def _asset(file: Path) -> Asset:
    body = file.read_bytes()
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if content_type.startswith("text/") or content_type.endswith("javascript"):
        content_type += "; charset=utf-8"
    compressed = gzip.compress(body, 6, mtime=0) if len(body) >= MIN_COMPRESSED_BYTES else None
    etag = hashlib.blake2b(body, digest_size=12).hexdigest()
    return Asset(body, compressed, content_type, etag)


@functools.cache
def _openapi_document() -> Asset:
    body = orjson.dumps(document(), option=orjson.OPT_INDENT_2)
    etag = hashlib.blake2b(body, digest_size=12).hexdigest()
    return Asset(body, gzip.compress(body, 6, mtime=0), "application/json", etag)


def find_route(path: str) -> str:
    """Return the route of a path: one of `ROUTES`, or a path that is none of them."""
    return {"": DASHBOARD, API + "/": API}.get(path, path)


def _dashboard(request: flask.Request) -> flask.Response:
    return _send(_asset(PAGE_FOLDER / "index.html"), request, page=True)


def _swagger_ui(request: flask.Request) -> flask.Response:
    if request.path.endswith("/"):
        return flask.redirect("../api", 308)  # pyright: ignore[reportReturnType]
    return _send(_asset(PAGE_FOLDER / "api.html"), request, page=True)


def _openapi(request: flask.Request) -> flask.Response:
    return _send(_openapi_document(), request)


def _static_file(file: Path, request: flask.Request) -> flask.Response:
    return _send(_asset(file), request)


def _inline_script_hash() -> str:
    """Return the CSP source of the page's inline script, which runs before relative links load."""
    script = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8").split("<script>")[1]
    digest = hashlib.sha256(script.split("</script>")[0].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src 'self' {_inline_script_hash()}; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
)


def _send(asset: Asset, request: flask.Request, *, page: bool = False) -> flask.Response:
    response = cacheable_response(
        asset.body, asset.compressed, asset.etag, request, asset.content_type
    )
    if page:
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
    return response


ROUTES: dict[str, Route[Handler]] = {
    DASHBOARD: Route(READ_METHODS, _dashboard),
    API: Route(READ_METHODS, _swagger_ui),
    OPENAPI_JSON: Route(READ_METHODS, _openapi),
    **{
        ASSETS + name: Route(READ_METHODS, functools.partial(_static_file, file))
        for name, file in FILES.items()
    },
}
