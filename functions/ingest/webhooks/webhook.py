"""One webhook: the path `/webhook/<name>` for one sender."""

import re
import time
from dataclasses import dataclass, field

import orjson
from starlette.datastructures import QueryParams

from functions.common.access import is_known
from functions.common.correlation import HeaderLists
from functions.common.errors import CredentialsRefusedError, SignatureError
from functions.common.events import ErrorDetail

from .scheme import Scheme, Signature

_CHALLENGE = re.compile(r"[A-Za-z0-9_.~+/=-]{1,256}")
"""Meta sends a number. What is sent back is short and can be no markup, whatever is asked for."""
VERIFY_TOKEN = "-verify-token"  # noqa: S105 - the end of a secret's name
MAX_NATIVE_BYTES = 64 * 1024
"""Larger bodies are not parsed once more only to say more of them."""


def path_of(name: str) -> str:
    """Return where the requests of a webhook arrive."""
    return f"/webhook/{name}"


def secret_of(name: str) -> str:
    """Return the name of the secret that a webhook's requests are signed with."""
    return f"webhook-{name}"


def verify_token_of(name: str) -> str:
    """Return the name of the secret with the verify token of a webhook's subscription."""
    return secret_of(name) + VERIFY_TOKEN


@dataclass(frozen=True)
class Webhook:
    """One sender's way in.

    Attributes:
        name: what follows `/webhook/` in its path.
        scheme: how the sender signs.
        sources: the sources that its events may have.
        keys: the keys that are valid at the moment; none: every request is refused.
        verify_tokens: those of its subscription that are valid at the moment.
    """

    name: str
    scheme: Scheme
    sources: frozenset[str]
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    verify_tokens: tuple[str, ...] = field(default=(), repr=False)

    @property
    def path(self) -> str:
        """Where its requests arrive."""
        return path_of(self.name)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of its path."""
        return ("GET", "POST") if self.scheme.verifies_subscription else ("POST",)

    def read_signature(self, headers: HeaderLists) -> Signature:
        """Read the signature of a request; nothing is known of its body yet.

        Raises:
            CredentialsRefusedError: 401; there is none, or it cannot be right.
        """
        if not self.keys:
            raise CredentialsRefusedError(
                "no_secret", f"{self.path} is closed: it needs the secret {secret_of(self.name)}."
            )
        try:
            return self.scheme.read(headers, time.time())
        except SignatureError as error:
            raise CredentialsRefusedError(error.why, _sentence(str(error))) from error

    def check(self, signature: Signature, body: bytes) -> None:
        """Check the signature of a request.

        Args:
            signature: of its headers.
            body: as it was sent, before it is decompressed or parsed.

        Raises:
            CredentialsRefusedError: 401; it is that of other bytes, or of another secret.
        """
        if not signature.matches(body, self.keys):
            raise CredentialsRefusedError(
                "wrong",
                f"The signature in {self.scheme.header} was made with another secret than that of "
                f"{self.path}, or of another body. The body is signed as it is sent, compressed if "
                "it has a Content-Encoding.",
            )

    def answer_challenge(self, query: QueryParams) -> str:
        """Return the challenge of a subscription whose verify token is right.

        Raises:
            CredentialsRefusedError: 403.
        """
        right = is_known(query.get("hub.verify_token", ""), self.verify_tokens)
        if not right or query.get("hub.mode") != "subscribe":
            raise CredentialsRefusedError(
                "wrong",
                "hub.verify_token is not that of the secret "
                f"{verify_token_of(self.name)}, or hub.mode is not subscribe.",
                status=403,
            )
        challenge = query.get("hub.challenge", "")
        if not _CHALLENGE.fullmatch(challenge):
            raise CredentialsRefusedError(
                "malformed",
                "hub.challenge is missing, too long, or has other characters than letters and "
                "digits.",
                status=403,
            )
        return challenge

    def foreign_source(self, source: str) -> ErrorDetail:
        """Return what is wrong with an event of a source that is none of this webhook's."""
        allowed = " or ".join(sorted(self.sources))
        message = f"{self.path} takes events of {allowed}, not of {source}"
        return {"loc": ["source"], "msg": message, "type": "source_not_allowed"}

    @property
    def native_body(self) -> str:
        """What is wrong with a body in the sender's own format."""
        fields = ", ".join(self.scheme.native_fields)
        return (
            f"This is a notification in the sender's own format ({fields}). {self.path} takes "
            "events of Universe's contract: docs/webhooks.md says how to send them."
        )

    def is_native(self, body: bytes) -> bool:
        """Tell whether a body that is no event is in the sender's own format."""
        if not self.scheme.native_fields or len(body) > MAX_NATIVE_BYTES:
            return False
        try:
            parsed: object = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        return isinstance(parsed, dict) and all(
            each in parsed for each in self.scheme.native_fields
        )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
