"""Who may send events."""

import hashlib
import hmac

from starlette.datastructures import Headers

from .errors import Refusal
from .settings import IngestSettings

SIGNATURE = "x-hub-signature-256"


def authenticate(headers: Headers, body: bytes, settings: IngestSettings) -> None:
    """Check the caller's API key, or its signature of the body as it was sent.

    Where both are configured, either is enough; where none is, everybody may send.

    Raises:
        Refusal: 401.
    """
    key, secret = settings.ingest_api_key, settings.webhook_secret
    if not key and not secret:
        return
    if key and hmac.compare_digest(_given_key(headers).encode(), key.encode()):
        return
    if secret:
        expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(headers.get(SIGNATURE, "").encode(), expected.encode()):
            return
    wanted = [name for name, used in (("X-Api-Key", key), ("X-Hub-Signature-256", secret)) if used]
    raise Refusal(401, f"A valid header {' or '.join(wanted)} is required.")


def _given_key(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
