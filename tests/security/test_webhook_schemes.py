"""Signature schemes of webhooks, against what the senders themselves publish."""

import hashlib
import hmac
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.datastructures import Headers

from functions.common.errors import SignatureError
from functions.ingest.settings import IngestSettings
from functions.ingest.webhooks.scheme import DIGEST_BYTES, Scheme
from functions.ingest.webhooks.schemes import SCHEMES

SLACK = Scheme(
    header="X-Slack-Signature",
    prefix="v0=",
    signed="v0:{timestamp}:{body}",
    time_header="X-Slack-Request-Timestamp",
)
"""A scheme by configuration only."""


@dataclass(frozen=True)
class Vector:
    """A request whose signature is known.

    Attributes:
        scheme: how it is signed.
        secret: as the sender shows it.
        body: as it was sent.
        headers: with the signature.
        time: when it was sent, in unix seconds.
    """

    scheme: Scheme
    secret: str
    body: bytes
    headers: dict[str, str]
    time: int = 0

    def read(self, now: float | None = None, changes: dict[str, str] | None = None) -> bool:
        """Check the signature, with other headers or at another time than it was sent."""
        changed = {**self.headers, **(changes or {})}
        signature = self.scheme.read(Headers(changed), self.time if now is None else now)
        return signature.matches(self.body, (self.scheme.key(self.secret),))


VECTORS = {
    # docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation"
    "github": Vector(
        SCHEMES["github"],
        "It's a Secret to Everybody",
        b"Hello, World!",
        {
            "X-Hub-Signature-256": "sha256="
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        },
    ),
    # docs.svix.com, "Verifying Webhooks Manually", and the tests of all libraries of the
    # specification; made again with the Python package standardwebhooks 1.1.0
    "standard-webhooks": Vector(
        SCHEMES["standard-webhooks"],
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        {
            "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "Webhook-Timestamp": "1614265330",
            "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        1614265330,
    ),
    # docs.slack.dev, "Verifying requests from Slack"
    "slack": Vector(
        SLACK,
        "8f742231b10e8888abcd99yyyzzz85a5",
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0="
            "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        1531420618,
    ),
    # Stripe publishes no secret with a signature: made with stripe.WebhookSignature of the Python
    # package stripe 16.1.0. `v0` is what its test mode adds; it is ignored, as its libraries do.
    "stripe": Vector(
        SCHEMES["stripe"],
        "whsec_test_secret",
        b'{"id":"evt_1","object":"event"}',
        {
            "Stripe-Signature": "t=1614265330,"
            "v1=42b3d2b2181207b6b299df380bf37599bb895dc182467ba12e046b1916c4cd19,"
            "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
        },
        1614265330,
    ),
    # shopify.dev shows no signature: `openssl dgst -sha256 -hmac hush -binary | base64`, which is
    # what its page "Verify webhook deliveries" describes
    "shopify": Vector(
        SCHEMES["shopify"],
        "hush",
        b'{"id":"evt_1","object":"event"}',
        {"X-Shopify-Hmac-SHA256": "Y5yh1MBcvmylNdRGRmMjSnWMAU5vK6ZYOwIowkFMvRk="},
    ),
    # segment.com/docs, "Webhooks Destination", Authentication: its JavaScript, run by Node.js
    "segment": Vector(
        SCHEMES["segment"],
        "hush",
        b'{"id":"evt_1","object":"event"}',
        {"X-Signature": "ac5d45bd1c0a6f7ad6cc2c66935689037a6ec023"},
    ),
    # developers.tiktok.com, "Webhooks Verification", shows a header without its secret: its three
    # steps done with openssl, at the time of that header
    "tiktok": Vector(
        SCHEMES["tiktok"],
        "client-secret",
        b'{"id":"evt_1","object":"event"}',
        {
            "TikTok-Signature": "t=1633174587,"
            "s=8a3ead320c5c3b1c4ee33cddf1d463e34c859be4400ffb75ffdb730ed3db4393"
        },
        1633174587,
    ),
    # developers.facebook.com, "Webhooks: Get Started": the escaped form of its example string is
    # signed, here with openssl
    "facebook": Vector(
        SCHEMES["facebook"],
        "app-secret",
        rb'{"message":"\u00e4\u00f6\u00e5"}',
        {
            "X-Hub-Signature-256": "sha256="
            "0d0c29651b2a51252904375587f3333f4d40fe4f1d8781aeb8da7e485a7cd96b"
        },
    ),
}


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_published_signature_is_right(vector: Vector) -> None:
    """Stripe, GitHub, Shopify, Segment styles are settings, tested with public vectors."""
    assert vector.read()
    other = Vector(vector.scheme, vector.secret, vector.body + b" ", vector.headers, vector.time)
    assert not other.read()


def test_each_scheme_has_a_vector() -> None:
    """A new scheme is one small file; its vector comes with it."""
    assert set(SCHEMES) <= set(VECTORS)


@pytest.mark.parametrize("name", ["standard-webhooks", "slack", "stripe", "tiktok"])
def test_signature_is_refused_five_minutes_later_and_earlier(name: str) -> None:
    """A replay window where the scheme has a time: 5 minutes."""
    vector = VECTORS[name]
    assert vector.read(vector.time + 300)
    assert vector.read(vector.time - 300)
    for now in (vector.time + 301, vector.time - 301):
        with pytest.raises(SignatureError) as refused:
            vector.read(now)
        assert refused.value.why == "expired"


def test_time_is_part_of_what_is_signed() -> None:
    """Who recorded a request cannot give it a new time."""
    later = VECTORS["tiktok"].time + 1000
    renewed = VECTORS["tiktok"].headers["TikTok-Signature"].replace("1633174587", str(later))
    assert not VECTORS["tiktok"].read(later, {"TikTok-Signature": renewed})
    standard = VECTORS["standard-webhooks"]
    assert not standard.read(later, {"Webhook-Timestamp": str(later)})
    assert not standard.read(changes={"Webhook-Id": "msg_another"})


def test_one_right_signature_of_several_is_enough() -> None:
    """While a secret is replaced, Stripe and Standard Webhooks send a signature for each."""
    standard, stripe = VECTORS["standard-webhooks"], VECTORS["stripe"]
    wrong = b64encode(bytes(32)).decode()
    header = f"v1,{wrong} v1a,{wrong} {standard.headers['Webhook-Signature']}"
    assert standard.read(changes={"Webhook-Signature": header})
    header = stripe.headers["Stripe-Signature"].replace("v1=", f"v1={'0' * 64},v1=")
    assert stripe.read(changes={"Stripe-Signature": header})


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("github", "X-Hub-Signature-256", "sha256="),
        ("github", "X-Hub-Signature-256", "sha1=" + "0" * 40),
        ("github", "X-Hub-Signature-256", "sha256=" + "0" * 63),
        ("github", "X-Hub-Signature-256", "sha256=" + "g" * 64),
        ("github", "X-Hub-Signature-256", "0" * 64),
        ("shopify", "X-Shopify-Hmac-SHA256", "0" * 64),
        ("shopify", "X-Shopify-Hmac-SHA256", ""),
        ("segment", "X-Signature", "0" * 64),
        ("stripe", "Stripe-Signature", "v1=" + "0" * 64),
        ("stripe", "Stripe-Signature", "t=1614265330"),
        ("stripe", "Stripe-Signature", "t=1614265330,t=1614265330,v1=" + "0" * 64),
        ("stripe", "Stripe-Signature", "t=" + "9" * 5000 + ",v1=" + "0" * 64),
        ("stripe", "Stripe-Signature", "t=1614265330" + (",v1=" + "0" * 64) * 9),
        ("tiktok", "TikTok-Signature", "t=1e9,s=" + "0" * 64),
        ("tiktok", "TikTok-Signature", "t=-1,s=" + "0" * 64),
        ("tiktok", "TikTok-Signature", "t=\u0661,s=" + "0" * 64),
        ("standard-webhooks", "Webhook-Id", ""),
        ("standard-webhooks", "Webhook-Id", "x" * 257),
        ("standard-webhooks", "Webhook-Timestamp", "1614265330.5"),
    ],
)
def test_malformed_signature_is_refused_before_the_body_is_known(
    name: str, header: str, value: str
) -> None:
    """A wrong key is found before the body is read where the scheme allows."""
    if not value.isascii():
        value = value.encode().decode("latin-1")
    with pytest.raises(SignatureError) as refused:
        VECTORS[name].read(changes={header: value})
    assert refused.value.why == "malformed"


def test_header_that_is_missing_or_sent_twice_is_refused() -> None:
    """A second header that another part of the way could prefer is no way in."""
    scheme, headers = VECTORS["github"].scheme, VECTORS["github"].headers
    for given_headers, why in (
        (Headers({}), "missing"),
        (Headers(raw=[(name.lower().encode(), value.encode())
                      for name, value in headers.items()] * 2), "malformed"),
    ):  # fmt: skip
        with pytest.raises(SignatureError) as refused:
            scheme.read(given_headers, 0)
        assert refused.value.why == why


@given(
    name=st.sampled_from(sorted(SCHEMES)),
    values=st.lists(st.text(st.characters(codec="latin-1"), max_size=200), min_size=3, max_size=3),
)
def test_any_header_is_refused_or_read_but_never_an_error(name: str, values: list[str]) -> None:
    """The HTTP surface shows no 5xx, whatever a signature looks like."""
    scheme = SCHEMES[name]
    names = [scheme.header, scheme.time_header, scheme.id_header]
    headers = {name: value for name, value in zip(names, values, strict=True) if name}
    try:
        signature = scheme.read(Headers(headers), 0)
    except SignatureError:
        return
    assert not signature.matches(b"{}", (b"secret",))


@pytest.mark.parametrize("algorithm", DIGEST_BYTES)
@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
def test_generic_scheme_signs_what_its_template_says(algorithm: Any, unit: Any) -> None:
    """A generic adapter: header, algorithm, prefix, what is signed, time window."""
    scheme = Scheme(
        header="X-Partner",
        separator=",",
        prefix="sig:",
        algorithm=algorithm,
        encoding="base64",
        signed="{id}|{body}|{timestamp}",
        time_prefix="at:",
        time_unit=unit,
        window=60,
        id_header="X-Partner-Id",
        key_encoding="hex",
    )
    key, body = bytes.fromhex("00ff17"), b"\x00not even text"
    time = "1700000000" + ("123" if unit == "milliseconds" else "")
    digest = hmac.new(key, b"7|" + body + f"|{time}".encode(), algorithm).digest()
    headers = {"X-Partner": f"at:{time}, sig:{b64encode(digest).decode()}", "X-Partner-Id": "7"}
    assert scheme.read(Headers(headers), 1700000060).matches(body, (scheme.key("00ff17"),))
    assert not scheme.read(Headers(headers), 1700000060).matches(body, (scheme.key("00ff18"),))
    with pytest.raises(SignatureError):
        scheme.read(Headers(headers), 1700000062)


PLAIN = {"header": "X-Signature"}


@pytest.mark.parametrize(
    ("webhooks", "fault"),
    [
        ("{", "not JSON"),
        ({"shop": {"scheme": "shopifi", "sources": ["tiktok"]}}, "shopifi is none of"),
        ({"shop": {"scheme": "shopify", "sources": ["twitter"]}}, "twitter is none of"),
        ({"shop": {"scheme": "shopify", "sources": []}}, "at least 1"),
        ({"shop": {"scheme": "shopify"}}, "sources"),
        ({"shop": {"scheme": "shopify", "sources": ["tiktok"], "secret": "x"}}, "secret"),
        ({"event": {"scheme": "shopify", "sources": ["tiktok"]}}, "cannot be named event"),
        ({"x-verify-token": {"scheme": "shopify", "sources": ["tiktok"]}}, "cannot be named"),
        ({"../x": {"scheme": "shopify", "sources": ["tiktok"]}}, "pattern"),
        ({"x": {"scheme": {"header": "A B"}, "sources": ["tiktok"]}}, "pattern"),
        ({"x": {"scheme": PLAIN | {"algorithm": "md5"}, "sources": ["tiktok"]}}, "sha256"),
        ({"x": {"scheme": PLAIN | {"algorithms": "sha1"}, "sources": ["tiktok"]}}, "algorithms"),
        ({"x": {"scheme": PLAIN | {"signed": "{url}{body}"}, "sources": ["tiktok"]}}, "{url}"),
        ({"x": {"scheme": PLAIN | {"signed": "fixed"}, "sources": ["tiktok"]}}, "{body}"),
        ({"x": {"scheme": PLAIN | {"time_header": "X-Time"}, "sources": ["tiktok"]}},
         "not signed protects nothing"),
        ({"x": {"scheme": PLAIN | {"signed": "{timestamp}{body}"}, "sources": ["tiktok"]}},
         "time_header"),
        ({"x": {"scheme": PLAIN | {"signed": "{id}{body}"}, "sources": ["tiktok"]}}, "id_header"),
        ({"x": {"scheme": PLAIN | {"window": 60}, "sources": ["tiktok"]}}, "window"),
        ({"x": {"scheme": PLAIN | {"separator": ","}, "sources": ["tiktok"]}}, "prefix"),
        ({"x": {"scheme": PLAIN | {"time_prefix": "t=", "signed": "{timestamp}{body}"},
                "sources": ["tiktok"]}}, "separator"),
    ],
)  # fmt: skip
def test_configuration_that_cannot_work_says_what_is_wrong(
    webhooks: object, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A door that should be closed and cannot be stops the component with one clear line."""
    text = webhooks if isinstance(webhooks, str) else json.dumps(webhooks)
    monkeypatch.setenv("WEBHOOKS", text)
    with pytest.raises(ValidationError) as refused:
        IngestSettings()
    assert fault in str(refused.value)


def test_secret_of_another_form_is_an_error() -> None:
    """A secret that the scheme cannot read closes nothing: it is an error, not an empty key."""
    scheme = SCHEMES["standard-webhooks"]
    for secret in ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_not base64!"):
        with pytest.raises(ValueError, match=r"it does not begin|what follows"):
            scheme.key(secret)
    assert scheme.key("whsec_aGVsbG8=") == b"hello"
    assert hashlib.sha256().digest_size == DIGEST_BYTES["sha256"]
