"""HMAC signatures of HTTP bodies: made with a secret, and checked against several.

`HmacScheme` and `check_time` are what the schemes of webhooks are made of. `sign` and `verify` are
the scheme between the connector and the functions that it invokes, with the header
`Universe-Signature: t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over `<unix seconds>.<body>`, one `v1`
for each secret of the sender. Neither the header nor a log of it can sign another body, and it
passes through any gateway.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from functions.common.errors import SignatureError

HEADER = "Universe-Signature"
TOLERANCE_SECONDS = 300.0
"""How far the time of a signature may be from this machine's."""
MAX_SIGNATURES = 8
"""Signatures in one header; each costs a comparison, and senders have one or two secrets."""

_MAX_TIME_DIGITS = 12

Encoding = Literal["hex", "base64"]
"""How bytes are written in a header."""


@dataclass(frozen=True, slots=True)
class HmacScheme:
    """How a digest is made and written.

    Attributes:
        algorithm: a hash function of `hashlib`.
        encoding: how the digest is written.
        prefix: what stands before it, such as `sha256=`.
    """

    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""

    def sign(self, secret: bytes, *parts: bytes) -> str:
        """Return the signature of the parts, one after the other."""
        digest = self._digest(secret, parts)
        text = digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()
        return self.prefix + text

    def matches(self, signatures: Iterable[str], secrets: Sequence[bytes], *parts: bytes) -> bool:
        """Return whether one of the signatures was made with one of the secrets.

        The time that it takes does not depend on which of them, if any, or on how much of one is
        right. What is no digest is ignored, and so are signatures beyond `MAX_SIGNATURES`.
        """
        given = [self._decode(each) for each in list(signatures)[:MAX_SIGNATURES]]
        found = False
        for secret in secrets:
            expected = self._digest(secret, parts)
            for digest in given:
                found |= hmac.compare_digest(digest, expected)
        return found

    def _digest(self, secret: bytes, parts: Sequence[bytes]) -> bytes:
        code = hmac.new(secret, digestmod=self.algorithm)
        for part in parts:
            code.update(part)
        return code.digest()

    def _decode(self, signature: str) -> bytes:
        """Return the digest; where there is none, bytes that no digest is equal to."""
        if not signature.startswith(self.prefix):
            return b""
        return decode(signature[len(self.prefix) :], self.encoding)


def decode(text: str, encoding: Encoding) -> bytes:
    """Return the bytes that hex or base64 stands for; none where it is neither."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def check_time(text: str, now: float, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Check that a signature is of this time, so that an old request cannot be sent again.

    Args:
        text: the time of the signature, in unix seconds.
        now: the time of this machine, in unix seconds.
        tolerance: seconds that the two may differ, in either direction.

    Raises:
        SignatureError: they differ by more, or `text` is not a whole number of seconds.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_TIME_DIGITS):
        raise SignatureError("malformed", "the time of the signature is not in unix seconds")
    if abs(now - int(text)) > tolerance:
        raise SignatureError(
            "expired",
            f"the time of the signature is more than {tolerance:g} s from the time here: "
            "the request is old, or one of the clocks is wrong",
        )


def parse_fields(header: str) -> dict[str, list[str]]:
    """Return the values of `key=value,key=value` by key; a key may come several times."""
    fields: dict[str, list[str]] = {}
    for field in header.split(","):
        key, equals, value = field.partition("=")
        if equals:
            fields.setdefault(key.strip(), []).append(value.strip())
    return fields


_UNIVERSE = HmacScheme()


@dataclass(frozen=True, slots=True)
class TimedSignatures:
    """What a header `Universe-Signature` says.

    Attributes:
        time: the time of the signatures in unix seconds, as it was sent.
        signatures: one for each secret of the sender.
    """

    time: str
    signatures: tuple[str, ...]

    def verify(self, secrets: Sequence[bytes], body: bytes) -> None:
        """Check the signatures of a body, as it was received.

        Raises:
            SignatureError: none was made with one of the secrets.
        """
        if not _UNIVERSE.matches(self.signatures, secrets, f"{self.time}.".encode(), body):
            raise SignatureError(
                "wrong", "the signature does not match: it was made with another secret or body"
            )


def sign(secrets: Sequence[bytes], body: bytes, now: float) -> str:
    """Return the value of the header `Universe-Signature`.

    A sender that signs with two secrets is accepted by receivers that know either: so a secret is
    replaced without a refused request, whichever side is restarted first.

    Args:
        secrets: of the sender, at least one.
        body: as it is sent.
        now: unix seconds.
    """
    time = str(int(now))
    signed = (f"{time}.".encode(), body)
    return ",".join([f"t={time}", *(f"v1={_UNIVERSE.sign(each, *signed)}" for each in secrets)])


def read_header(
    header: str | None, now: float, tolerance: float = TOLERANCE_SECONDS
) -> TimedSignatures:
    """Read a header `Universe-Signature` and check its time: all that can be said without the body.

    Args:
        header: its value; None where it was not sent.
        now: unix seconds.
        tolerance: as for `check_time`.

    Raises:
        SignatureError: it is missing or malformed, or its time is too far from `now`.
    """
    if not header:
        raise SignatureError("missing", f"the header {HEADER} is missing")
    fields = parse_fields(header)
    times, signatures = fields.get("t", []), fields.get("v1", [])
    if len(times) != 1 or not signatures:
        raise SignatureError("malformed", f"the header {HEADER} is not t=<unix seconds>,v1=<hex>")
    check_time(times[0], now, tolerance)
    return TimedSignatures(times[0], tuple(signatures))


def verify(
    secrets: Sequence[bytes],
    header: str | None,
    body: bytes,
    now: float,
    tolerance: float = TOLERANCE_SECONDS,
) -> None:
    """Check the header `Universe-Signature` of a request.

    Raises:
        SignatureError: it is missing, malformed, of another time, or made with another secret.
    """
    read_header(header, now, tolerance).verify(secrets, body)
