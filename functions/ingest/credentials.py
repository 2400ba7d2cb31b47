"""Authentication of callers."""

import hashlib
import hmac

from starlette.datastructures import Headers

from functions.common.errors import RequestRefusedError

from .settings import IngestSettings

SIGNATURE_HEADER = "x-hub-signature-256"


def authenticate(headers: Headers, body: bytes, settings: IngestSettings) -> None:
    """Check the caller's API key, or its signature of the body as it was sent.

    Where both are configured, either is enough; where none is, every caller is accepted.

    Args:
        headers: of the request.
        body: as it was sent, before it is decompressed: the signature is over these bytes.
        settings: hold the key and the secret.

    Raises:
        RequestRefusedError: 401.
    """
    key, secret = settings.ingest_api_key, settings.webhook_secret
    if not key and not secret:
        return
    if key and hmac.compare_digest(_given_key(headers).encode(), key.encode()):
        return
    if secret:
        expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(headers.get(SIGNATURE_HEADER, "").encode(), expected.encode()):
            return
    accepted = ["X-Api-Key"] if key else []
    if secret:
        accepted.append("X-Hub-Signature-256")
    raise RequestRefusedError(401, f"A valid header {' or '.join(accepted)} is required.")


def _given_key(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
