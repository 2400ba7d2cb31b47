"""How a sender signs its webhooks: an HMAC of the body, often with a time or an id."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from functions.common.correlation import HeaderLists
from functions.common.errors import SignatureError
from functions.common.signature import (
    MAX_SIGNATURES,
    TOLERANCE_SECONDS,
    HmacScheme,
    check_time,
    decode,
)

MAX_HEADER_LENGTH = 4096
DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}

_ID = re.compile(r"[\x21-\x7e]{1,256}")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


@dataclass(frozen=True, slots=True)
class Signature:
    """What the headers of a request say of its body.

    Attributes:
        scheme: how the signatures were made.
        signatures: those that were sent; one that is right is enough.
        before: what is signed before the body.
        after: what is signed after it.
    """

    scheme: HmacScheme
    signatures: tuple[str, ...]
    before: bytes
    after: bytes

    def matches(self, body: bytes, keys: tuple[bytes, ...]) -> bool:
        """Tell whether one of the signatures is that of the body with one of the keys.

        Args:
            body: as it was sent, before it is decompressed or parsed.
            keys: those that are valid at the moment.
        """
        return self.scheme.matches(self.signatures, keys, self.before, body, self.after)


class Scheme(BaseModel):
    """How a sender signs its webhooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: HeaderName
    """The header with the signature, or several of them."""
    separator: Literal["", ",", " "] = ""
    """What stands between the items of that header; empty: it is one signature."""
    prefix: str = ""
    """What a signature begins with, such as `sha256=` or `v1=`; other items are ignored."""
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    """The hash function of the HMAC."""
    encoding: Literal["hex", "base64"] = "hex"
    """How a signature is written."""
    signed: str = "{body}"
    """What is signed: `{body}`, `{timestamp}`, `{id}` and other text."""
    time_header: HeaderName | None = None
    """The header with the time of sending, where it has one of its own."""
    time_prefix: str | None = None
    """What the time begins with where it is an item of `header`, such as `t=`."""
    time_unit: Literal["seconds", "milliseconds"] = "seconds"
    """The unit of the time, which is counted from 1970."""
    window: float = Field(default=TOLERANCE_SECONDS, gt=0)
    """Seconds that the time may be before or after that of this server."""
    id_header: HeaderName | None = None
    """The header with the id of the message, where that is signed."""
    key_prefix: str = ""
    """What a secret begins with that is no part of the key."""
    key_encoding: Literal["text", "hex", "base64"] = "text"
    """How the rest of a secret stands for the bytes of the key."""
    verifies_subscription: bool = False
    """Whether the sender asks for `hub.challenge` before it sends anything, as Meta does."""
    native_fields: tuple[str, ...] = ()
    """Fields by which a body in the sender's own format is known, to say so in the response."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names: list[str] = _PLACEHOLDER.findall(self.signed)
        if names.count("body") != 1:
            raise ValueError("signed: {body} has to be in it once")
        if unknown := set(names) - {"body", "timestamp", "id"}:
            raise ValueError(f"signed: there is no {{{unknown.pop()}}}")
        if self.separator and not self.prefix:
            raise ValueError("separator: it needs a prefix that tells which items are signatures")
        if self.time_header and self.time_prefix:
            raise ValueError("time_header and time_prefix: only one of them")
        if self.time_prefix and not self.separator:
            raise ValueError("time_prefix: it needs a separator")
        if self._has_time != ("timestamp" in names):
            raise ValueError(
                "signed: it needs {timestamp} if there is a time_header or time_prefix, and only "
                "then: a time that is not signed protects nothing"
            )
        if not self._has_time and "window" in self.model_fields_set:
            raise ValueError("window: it needs a time_header or time_prefix")
        if bool(self.id_header) != ("id" in names):
            raise ValueError("signed: it needs {id} if there is an id_header, and only then")
        return self

    @property
    def _has_time(self) -> bool:
        return bool(self.time_header or self.time_prefix)

    def key(self, secret: str) -> bytes:
        """Return the key that a secret stands for.

        Raises:
            ValueError: it is not written as the secrets of this scheme are.
        """
        if not secret.startswith(self.key_prefix):
            raise ValueError(f"it does not begin with {self.key_prefix}")
        text = secret.removeprefix(self.key_prefix)
        key = text.encode() if self.key_encoding == "text" else decode(text, self.key_encoding)
        if not key:
            raise ValueError(f"what follows is not {self.key_encoding}")
        return key

    def read(self, headers: HeaderLists, now: float) -> Signature:
        """Read the signature of a request: all that can be said before its body is read.

        Args:
            headers: of the request.
            now: the time of this server, in unix seconds.

        Raises:
            SignatureError: it is missing or malformed, or its time is too far from this server's.
        """
        value = _header(headers, self.header)
        separator = self.separator
        items = [item.strip() for item in value.split(separator)] if separator else [value]
        signatures = [item for item in items if item.startswith(self.prefix)]
        if not signatures:
            raise _malformed(self.header, f"no {self.prefix}... in it")
        if len(signatures) > MAX_SIGNATURES:
            raise _malformed(self.header, f"more than {MAX_SIGNATURES} signatures")
        for signature in signatures:
            self._check_digest(signature.removeprefix(self.prefix))
        values = {"timestamp": self._time(headers, items, now), "id": self._id(headers)}
        before, after = (_fill(part, values) for part in self.signed.split("{body}"))
        scheme = HmacScheme(self.algorithm, self.encoding, self.prefix)
        return Signature(scheme, tuple(signatures), before, after)

    def _check_digest(self, text: str) -> None:
        size = DIGEST_BYTES[self.algorithm]
        if len(decode(text, self.encoding)) != size:
            raise _malformed(self.header, f"a signature is {size} bytes in {self.encoding}")

    def _time(self, headers: HeaderLists, items: list[str], now: float) -> str:
        if self.time_header:
            text = _header(headers, self.time_header)
        elif prefix := self.time_prefix:
            times = [item.removeprefix(prefix) for item in items if item.startswith(prefix)]
            if len(times) != 1:
                raise _malformed(self.header, f"not one {prefix}... in it")
            text = times[0]
        else:
            return ""
        seconds = text[:-3] if self.time_unit == "milliseconds" else text
        check_time(seconds, now, self.window)
        return text

    def _id(self, headers: HeaderLists) -> str:
        if not self.id_header:
            return ""
        text = _header(headers, self.id_header)
        if not _ID.fullmatch(text):
            raise _malformed(self.id_header, "empty, too long, or not ASCII")
        return text


def _header(headers: HeaderLists, name: str) -> str:
    values = headers.getlist(name)
    if not values:
        raise SignatureError("missing", f"the header {name} is missing")
    if len(values) > 1:
        raise _malformed(name, "sent more than once")
    if len(values[0]) > MAX_HEADER_LENGTH:
        raise _malformed(name, f"longer than {MAX_HEADER_LENGTH} characters")
    return values[0].strip()


def _malformed(header: str, what: str) -> SignatureError:
    return SignatureError("malformed", f"the header {header} is malformed: {what}")


def _fill(template: str, values: dict[str, str]) -> bytes:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template).encode()
