"""Who may call a function: keys of callers, and doors that are closed unless they shall be open."""

import hmac
import logging
from collections.abc import Sequence
from typing import Literal

from functions.common.correlation import HeaderLookup
from functions.common.errors import SecretError
from functions.common.settings import secrets_dir

API_KEY_HEADER = "X-Api-Key"

logger = logging.getLogger(__name__)

Auth = Literal["secret", "none"]
"""How callers are authenticated: by the secret of that door, or not at all."""


def require_secret(
    name: str, secrets: Sequence[str], auth: Auth, *, variable: str, effect: str
) -> None:
    """Check, when a component starts, that a door is closed, or is meant to be open.

    Args:
        name: the secret file that closes it.
        secrets: what the file holds.
        auth: how callers are authenticated.
        variable: the setting `auth`.
        effect: what an open door means, such as `anybody may send events`.

    Raises:
        SecretError: the door should be closed and there is no secret.
    """
    if auth == "none":
        logger.warning("%s=none: %s", variable, effect)
    elif not secrets:
        raise SecretError(
            f"the secret file {secrets_dir() / name} is missing: create it (secrets are not read "
            f"from the environment), or set {variable}=none, and {effect}"
        )


def given_key(headers: HeaderLookup) -> str:
    """Return the API key of a request, `X-Api-Key` or a bearer token; empty without one."""
    scheme, _, token = (headers.get("Authorization") or "").partition(" ")
    return headers.get(API_KEY_HEADER) or (token.strip() if scheme.lower() == "bearer" else "")


def is_known(key: str, keys: Sequence[str]) -> bool:
    """Return whether a key is one of those that are valid, in a time that tells nothing of them."""
    given = key.encode(errors="surrogatepass")
    found = False
    for each in keys:
        found |= hmac.compare_digest(given, each.encode())
    return found
