"""The gateway's login: of the system API, the page, and what functions have for operators only."""

import base64
import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import hdrs, web

from infra.local.errors import GatewayRefusalError
from infra.local.gateway import refusals
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


class Login:
    """The admin's login.

    Whoever is on this machine comes from the loopback address, so it is credentials that decide,
    never the address of the peer.
    """

    def __init__(self, password: str | None) -> None:
        """Expect `password`; None: no login is asked for."""
        self._asked_for = password is not None
        self._expected = b"Basic " + base64.b64encode(f"{USER}:{password}".encode())

    def is_given(self, authorization: str | None) -> bool:
        """Return whether a request's header Authorization carries this login."""
        if authorization is None:
            return False
        given = authorization.encode(errors="replace")
        scheme, _, credentials = given.partition(b" ")
        own = hmac.compare_digest(scheme.capitalize() + b" " + credentials.strip(), self._expected)
        return self._asked_for and own

    def require(self, authorization: str | None) -> None:
        """Let a request through if its Authorization is the login, or if none is asked for.

        Raises:
            GatewayRefusalError: 401, it does not.
        """
        if self._asked_for and not self.is_given(authorization):
            raise GatewayRefusalError(
                refusals.LOGIN,
                401,
                "invalid credentials",
                headers={"WWW-Authenticate": 'Basic realm="Restricted"'},
            )

    def protect(self, handler: Handler) -> Handler:
        """Decorate a handler that requires the login."""

        async def checked(request: web.Request) -> web.StreamResponse:
            self.require(request.headers.get(hdrs.AUTHORIZATION))
            return await handler(request)

        return checked
