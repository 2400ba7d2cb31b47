"""Authentication of callers: who may read, and who may write."""

import logging

import flask

from functions.common.access import API_KEY_HEADER, given_key, is_known, require_secret
from functions.common.errors import CredentialsRefusedError
from functions.common.settings import secrets_dir

from .settings import settings

logger = logging.getLogger(__name__)

WRITE_SECRET = "analytics-write-key"  # noqa: S105 - the name of the file


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
    if settings().analytics_write_auth == "none":
        logger.warning("ANALYTICS_WRITE_AUTH=none: anybody who may read may write")


def authenticate(request: flask.Request) -> None:
    """Check the caller's API key; one that may write may read.

    Raises:
        CredentialsRefusedError: 401.
    """
    options = settings()
    if options.analytics_auth == "none":
        return
    given = given_key(request.headers)
    if not is_known(given, options.analytics_api_key + options.analytics_write_key):
        raise _refusal(given, "Send the API key")


def authenticate_writer(request: flask.Request) -> None:
    """Check that the caller may write.

    Raises:
        CredentialsRefusedError: 401 without a valid key; 403 where the key may only read, or
            nobody may write.
    """
    options = settings()
    if options.analytics_write_auth == "none":
        authenticate(request)
        return
    if not options.analytics_write_key:
        authenticate(request)
        raise CredentialsRefusedError(
            "no_secret",
            f"Writing is off. To turn it on, put a key into the secret file "
            f"{secrets_dir() / WRITE_SECRET} and start the function again, or set "
            "ANALYTICS_WRITE_AUTH=none: everybody who may read may write then.",
            status=403,
        )
    given = given_key(request.headers)
    if is_known(given, options.analytics_write_key):
        return
    if is_known(given, options.analytics_api_key):
        raise CredentialsRefusedError(
            "wrong",
            f"This key may only read. Send a key of the secret file {WRITE_SECRET} in the header "
            f"{API_KEY_HEADER}.",
            status=403,
        )
    raise _refusal(given, f"Send a key that may write (secret file {WRITE_SECRET})")


def _refusal(given: str, action: str) -> CredentialsRefusedError:
    return CredentialsRefusedError(
        "wrong" if given else "missing",
        f"{action} in the header {API_KEY_HEADER}.",
        challenge="Bearer",
    )
