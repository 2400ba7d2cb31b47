"""Who may ask."""

import hmac

import flask

from .settings import settings

API_KEY_HEADER = "X-Api-Key"


def allowed(request: flask.Request) -> bool:
    """Tell whether the request carries the API key, where one is set."""
    key = settings().analytics_api_key
    if key is None:
        return True
    given = request.headers.get(API_KEY_HEADER, "")
    if not given and request.headers.get("Authorization", "").lower().startswith("bearer "):
        given = request.headers["Authorization"][len("bearer ") :].strip()
    return hmac.compare_digest(given.encode(), key.encode())
