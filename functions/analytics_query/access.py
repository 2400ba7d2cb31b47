"""Authentication of callers."""

import flask

from functions.common.access import API_KEY_HEADER, given_key, is_known, require_secret
from functions.common.errors import CredentialsRefusedError

from .settings import settings


def check_settings() -> None:
    """Check that there is a key, unless anybody shall be answered.

    Raises:
        SecretError: there is none.
    """
    require_secret(
        "analytics-api-key",
        settings().analytics_api_key,
        settings().analytics_auth,
        variable="ANALYTICS_AUTH",
        effect="anybody may read reports and events",
    )


def authenticate(request: flask.Request) -> None:
    """Check the caller's API key.

    Raises:
        CredentialsRefusedError: 401.
    """
    if settings().analytics_auth == "none":
        return
    given = given_key(request.headers)
    if not is_known(given, settings().analytics_api_key):
        raise CredentialsRefusedError(
            "wrong" if given else "missing",
            f"Send the API key in the header {API_KEY_HEADER}.",
            challenge="Bearer",
        )
