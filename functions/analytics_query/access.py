"""Authentication of callers."""

import hmac

import flask

from functions.common.errors import RequestRefusedError

from .settings import settings

API_KEY_HEADER = "X-Api-Key"


def authenticate(request: flask.Request) -> None:
    """Check the caller's API key, where one is configured.

    Raises:
        RequestRefusedError: 401.
    """
    key = settings().analytics_api_key
    if key is not None and not hmac.compare_digest(_given_key(request).encode(), key.encode()):
        raise RequestRefusedError(
            401,
            f"Send the API key in the header {API_KEY_HEADER}.",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _given_key(request: flask.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return request.headers.get(API_KEY_HEADER) or (
        token.strip() if scheme.lower() == "bearer" else ""
    )
