"""Batches are taken from the connector only, which signs them: what else is posted here is refused.

Whoever could post here would write events that ingest never saw, and make real ones vanish as
duplicates of his own.
"""

import time
from functools import cache

import flask

from functions.common.access import require_secret
from functions.common.errors import CredentialsRefusedError, SignatureError
from functions.common.signature import HEADER, TimedSignatures, read_header

from .settings import settings

KEY_FILE = "batch-signing-key"


def check_settings() -> None:
    """Check that there is a key, unless batches shall be taken from anybody.

    Raises:
        SecretError: there is none.
    """
    require_secret(
        KEY_FILE,
        settings().batch_signing_key,
        settings().batch_auth,
        variable="BATCH_AUTH",
        effect="anybody may store events and make others duplicates",
    )


@cache
def _signing_keys() -> tuple[bytes, ...]:
    return tuple(key.encode() for key in settings().batch_signing_key)


def read_signature(request: flask.Request) -> TimedSignatures | None:
    """Return the signature of a request, whose body is not needed yet; None where none is required.

    Raises:
        CredentialsRefusedError: 401, it is missing, malformed, or not of this time.
    """
    if settings().batch_auth == "none":
        return None
    try:
        return read_header(
            request.headers.get(HEADER), time.time(), settings().batch_signature_tolerance
        )
    except SignatureError as error:
        raise _refusal(error) from error


def check_signature(signature: TimedSignatures | None, body: bytes) -> None:
    """Check what `read_signature` returned against the body as it was received.

    Raises:
        CredentialsRefusedError: 401, the body was signed with another secret, or is another one.
    """
    if signature is None:
        return
    try:
        signature.verify(_signing_keys(), body)
    except SignatureError as error:
        raise _refusal(error) from error


def _refusal(error: SignatureError) -> CredentialsRefusedError:
    return CredentialsRefusedError(
        error.why,
        f"Batches are taken from the connector, which signs them with {KEY_FILE}: {error}.",
        challenge=HEADER,
    )
