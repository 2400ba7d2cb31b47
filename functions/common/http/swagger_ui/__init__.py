"""Swagger UI on the OpenAPI document beside it, without a file from another host.

A function serves the page at `/api`, the document at `/openapi.json` and the files at
`/assets/NAME`. Every link is relative, so it works below any path.
"""

import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from functions.common.correlation import HeaderLookup
from functions.common.http import look
from functions.common.http.cacheable import CacheableBody, read_file, respond
from functions.common.http.front_door import RawResponse

API = "/api"
OPENAPI_JSON = "/openapi.json"
ASSETS = "/assets/"
FILE_NAMES = (*look.FILES, "swagger-ui.css", "swagger-ui-bundle.js", "swagger.css", "swagger.js")
"""The files that the page needs, by their names below `/assets/`."""

FOLDER = Path(__file__).resolve().parent


def package_file(package: str, *path: str) -> Path:
    """Return the path of a file of an installed package, without importing the package."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.joinpath(*path)


@cache
def files() -> dict[str, Path]:
    """Return the paths of `FILE_NAMES`."""
    package = package_file("flask_openapi3_swagger", "templates", "swagger")
    return {
        **look.FILES,
        "swagger-ui.css": package / "css" / "swagger-ui.css",
        "swagger-ui-bundle.js": package / "js" / "swagger-ui-bundle.js",
        **{name: FOLDER / name for name in ("swagger.css", "swagger.js")},
    }


def content_security_policy(scripts: Iterable[str] = (), ancestors: str = "") -> str:
    """Return the policy of a page that loads only what its own function serves.

    Args:
        scripts: further sources of scripts, such as the hash of an inline one.
        ancestors: origins of other pages that may show it in a frame, separated by spaces.
    """
    script_sources = " ".join(["'self'", *scripts])
    return (
        f"default-src 'none'; script-src {script_sources}; "
        "style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
        "base-uri 'self'; form-action 'none'; "
        f"frame-ancestors 'self' {ancestors}".rstrip()
    )


def respond_page(page: CacheableBody, headers: HeaderLookup, policy: str) -> RawResponse:
    """Return a page with its content security policy.

    Who may show it in a frame is said in the older header as well, unless those are several sites:
    it knows no list, and would refuse them.
    """
    alone = policy.endswith("frame-ancestors 'self'")
    return respond(
        page,
        headers,
        Content_Security_Policy=policy,
        Referrer_Policy="no-referrer",
        **({"X_Frame_Options": "SAMEORIGIN"} if alone else {}),
    )


def respond_swagger_ui(title: str, path: str, headers: HeaderLookup) -> RawResponse:
    """Return the page for a request to `/api`.

    Args:
        title: of the page.
        path: of the request; links of the page would lead elsewhere below `/api/`.
        headers: of the request.
    """
    if path.endswith("/"):
        return RawResponse(308, b"", "text/plain", {"Location": "../api"})
    return respond_page(_page(title), headers, content_security_policy())


@cache
def _page(title: str) -> CacheableBody:
    text = (FOLDER / "page.html").read_text(encoding="utf-8").replace("{title}", title)
    return CacheableBody.of(text.encode(), "text/html; charset=utf-8")


def respond_file(name: str, headers: HeaderLookup) -> RawResponse:
    """Return one of `files`."""
    return respond(read_file(files()[name]), headers)
