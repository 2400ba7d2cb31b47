"""Basic authentication of the system API."""

import base64
import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from infra.local.private_file import write_private

USER = "admin"
USER_FILE, PASSWORD_FILE = "basic-auth-user", "basic-auth-password"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def ensure_password(secrets_dir: Path) -> str:
    """Return the admin's password, created at the first start, beside the user's name."""
    secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(secrets_dir / USER_FILE, USER.encode())
    path = secrets_dir / PASSWORD_FILE
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24).encode())
    return path.read_text().strip()


def protected(password: str | None) -> Callable[[Handler], Handler]:
    """Return a decorator that requires the admin's login; without a password, none is required.

    Requests that come from pages of other sites are refused in any case: a browser that is logged
    in sends the password with them, too.
    """
    expected = b"Basic " + base64.b64encode(f"{USER}:{password}".encode())

    def decorate(handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if _from_another_site(request):
                return web.Response(status=403, text="requests from other sites are refused")
            if password is None:
                return await handler(request)
            given = request.headers.get("Authorization", "").encode(errors="replace")
            scheme, _, credentials = given.partition(b" ")
            if not hmac.compare_digest(scheme.capitalize() + b" " + credentials.strip(), expected):
                return web.Response(
                    status=401,
                    text="invalid credentials",
                    headers={"WWW-Authenticate": 'Basic realm="Restricted"'},
                )
            return await handler(request)

        return checked

    return decorate


def _from_another_site(request: web.Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    # A gateway in front puts its name there; a page of another site cannot set this header.
    own = (request.headers.get("Host"), request.headers.get("X-Forwarded-Host"))
    site = urlsplit(origin).netloc  # empty if the browser hides the origin ("null")
    return not site or site not in own
