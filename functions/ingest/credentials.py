"""Authentication of callers with an API key."""

from functions.common.access import API_KEY_HEADER, given_key, is_known, require_secret
from functions.common.correlation import HeaderLookup
from functions.common.errors import CredentialsRefusedError

from .settings import IngestSettings


def check_settings(settings: IngestSettings) -> None:
    """Check that there is a key, unless events shall be taken from anybody.

    Raises:
        SecretError: there is none.
    """
    require_secret(
        "ingest-api-key",
        settings.ingest_api_key,
        settings.ingest_auth,
        variable="INGEST_AUTH",
        effect="anybody may send events",
    )


def check_api_key(headers: HeaderLookup, settings: IngestSettings) -> None:
    """Check the caller's API key; with `INGEST_AUTH=none`, every caller is accepted.

    Raises:
        CredentialsRefusedError: 401, it is missing or wrong.
    """
    if not has_api_key(headers, settings):
        raise CredentialsRefusedError(
            "wrong" if given_key(headers) else "missing",
            f"A valid header {API_KEY_HEADER} is required.",
        )


def has_api_key(headers: HeaderLookup, settings: IngestSettings) -> bool:
    """Tell whether the caller has a valid API key, or needs none."""
    return settings.ingest_auth == "none" or is_known(given_key(headers), settings.ingest_api_key)
