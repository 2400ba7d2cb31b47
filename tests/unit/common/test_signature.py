"""Signatures: what is accepted, and what is said about what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.common import signature
from functions.common.errors import SignatureError
from functions.common.signature import HmacScheme

OLD, NEW, BODY = b"old secret", b"new secret", b'[{"id":"1"}]'
NOW = 1_700_000_000.7


def refusal(secret: bytes, header: str | None, body: bytes = BODY, now: float = NOW) -> str:
    with pytest.raises(SignatureError) as raised:
        signature.verify([secret], header, body, now)
    return raised.value.why


def test_vectors() -> None:
    # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    parts = (b"what do ya want ", b"for nothing?")
    assert HmacScheme().sign(b"Jefe", *parts) == expected
    assert HmacScheme(prefix="sha256=").sign(b"Jefe", *parts) == f"sha256={expected}"
    as_base64 = HmacScheme(encoding="base64")
    assert as_base64.sign(b"Jefe", *parts) == "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
    assert as_base64.matches([as_base64.sign(b"Jefe", *parts)], [b"x", b"Jefe"], b"".join(parts))


def test_a_signature_with_either_secret_is_accepted_by_who_knows_either() -> None:
    both = signature.sign([OLD, NEW], BODY, NOW)
    for secrets in ([OLD], [NEW], [OLD, NEW], [NEW, OLD]):
        signature.verify(secrets, both, BODY, NOW)
        signature.verify([OLD, NEW], signature.sign(secrets, BODY, NOW), BODY, NOW)


def test_refusals() -> None:
    header = signature.sign([OLD], BODY, NOW)
    assert refusal(NEW, header) == "wrong"
    assert refusal(OLD, header, BODY + b" ") == "wrong"
    later = header.replace("t=1700000000", "t=1700000001")
    assert refusal(OLD, later) == "wrong"
    assert refusal(OLD, None) == refusal(OLD, "") == "missing"
    signed = header.partition(",")[2]
    for malformed in (signed, "t=1700000000", f"t=x,{signed}", f"t=1,t=2,{signed}", "v1", "=,=,"):
        assert refusal(OLD, malformed) == "malformed"
    for empty in ("t=1700000000,v1=", "t=1700000000,v1=zz", "t=1700000000,v1=00"):
        assert refusal(OLD, empty) == "wrong"
    with pytest.raises(SignatureError):
        signature.verify([], header, BODY, NOW)


def test_a_signature_is_accepted_for_five_minutes() -> None:
    header = signature.sign([OLD], BODY, NOW)
    for seconds in (-299, 0, 299):
        signature.verify([OLD], header, BODY, NOW + seconds)
    for seconds in (-302, 302, 10**9):
        assert refusal(OLD, header, now=NOW + seconds) == "expired"


def test_signatures_beyond_the_limit_are_ignored() -> None:
    many = ["00"] * signature.MAX_SIGNATURES
    right = HmacScheme().sign(OLD, BODY)
    assert HmacScheme().matches([right, *many], [OLD], BODY)
    assert not HmacScheme().matches([*many, right], [OLD], BODY)


@given(st.text())
def test_no_header_raises_another_error(header: str) -> None:
    with pytest.raises(SignatureError):
        signature.verify([OLD], header, BODY, NOW)
