"""Webhooks of real senders: a real ingest with a real broker behind it."""

import gzip
import hmac
import json
import re
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from nats.js.errors import NotFoundError
from openapi_spec_validator import validate

from functions.common.broker import EVENTS, EVENTS_DLQ, EVENTS_DLQ_SUBJECT, EVENTS_SUBJECT
from infra.cli.load.event_generator import generate
from infra.local.servers.nats import EmbeddedNats
from tests.support.functions import ENTRY, ROOT, Function, running

SECRETS = {
    "ingest-api-key": "open sesame",
    "webhook-facebook": "old app secret\nnew app secret\n",
    "webhook-facebook-verify-token": "meatyhamhock\nbeefstew\n",
    "webhook-tiktok": "client secret",
    "webhook-shop": "shared secret",
    "webhook-code": "It's a Secret to Everybody",
    "webhook-billing": "whsec_signing_secret",
    "webhook-cdp": "segment secret",
    "webhook-partner": "whsec_" + b64encode(b"a key of 24 random bytes").decode(),
    "webhook-custom": "custom secret",
}
WEBHOOKS = {
    "shop": {"scheme": "shopify", "sources": ["facebook"]},
    "code": {"scheme": "github", "sources": ["tiktok"]},
    "billing": {"scheme": "stripe", "sources": ["facebook", "tiktok"]},
    "cdp": {"scheme": "segment", "sources": ["facebook", "tiktok"]},
    "partner": {"scheme": "standard-webhooks", "sources": ["tiktok"]},
    "custom": {
        "scheme": {
            "header": "X-Custom-Signature",
            "algorithm": "sha512",
            "signed": "{timestamp}\n{body}",
            "time_header": "X-Custom-Time",
            "time_unit": "milliseconds",
            "window": 30,
        },
        "sources": ["facebook"],
    },
    "closed": {"scheme": "github", "sources": ["facebook"]},
}
EIGHT_MIB = 8 * 1024**2


@pytest.fixture(scope="module")
def ingest(
    session_nats: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Function]:
    folder = tmp_path_factory.mktemp("ingest")
    secrets = folder / "secrets"
    secrets.mkdir()
    for name, text in SECRETS.items():
        (secrets / name).write_text(text)
    with running(
        "functions.ingest.handler",
        folder / "log",
        NATS_URL=session_nats.url,
        SECRETS_DIR=str(secrets),
        WEBHOOKS=json.dumps(WEBHOOKS),
        LOG_LEVEL="DEBUG",
    ) as function:
        yield function


@pytest.fixture
def http(ingest: Function) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=ingest.url, timeout=30, verify=False) as client:
        yield client


def event(source: str, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a valid event of a source."""
    found = next(e.event for e in generate(200, seed) if e.event.get("source") == source)
    return found | changes


def sent(source: str, **changes: Any) -> bytes:
    return json.dumps(event(source, **changes)).encode()


def hmac_of(secret: str | bytes, signed: bytes, algorithm: str = "sha256") -> str:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.new(key, signed, algorithm).hexdigest()


def facebook(body: bytes, secret: str = "new app secret") -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={hmac_of(secret, body)}"}


def tiktok(body: bytes, at: float | None = None, secret: str = "client secret") -> dict[str, str]:
    seconds = int(time.time() if at is None else at)
    signature = hmac_of(secret, f"{seconds}.".encode() + body)
    return {"TikTok-Signature": f"t={seconds},s={signature}"}


def post(http: httpx.Client, name: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    kind = {"Content-Type": "application/json"}
    return http.post(f"/webhook/{name}", content=body, headers=kind | headers)


async def subjects(url: str) -> dict[str, int]:
    """Return how many messages there are on each subject of the events and the dead letters."""
    nc = await nats.connect(url)
    found: dict[str, int] = {}
    for stream, subject in ((EVENTS, EVENTS_SUBJECT), (EVENTS_DLQ, EVENTS_DLQ_SUBJECT)):
        try:
            info = await nc.jetstream().stream_info(stream, subjects_filter=f"{subject}.>")
        except NotFoundError:
            continue
        found |= info.state.subjects or {}
    await nc.close()
    return found


def refusals(http: httpx.Client) -> dict[tuple[str, str], int]:
    """Return the metric of refused requests by route and fault."""
    found = re.findall(
        r'^universe_ingest_credentials_refused_total{fault="(\w+)",route="(\S+)"} (\S+)$',
        http.get("/metrics").text,
        re.MULTILINE,
    )
    return {(route, fault): int(float(count)) for fault, route, count in found}


@pytest.mark.parametrize("token", ["meatyhamhock", "beefstew"])
def test_facebook_gets_its_challenge(http: httpx.Client, token: str) -> None:
    """`GET /webhook/facebook` answers `hub.challenge` when `hub.verify_token` is right."""
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": token}
    answer = http.get("/webhook/facebook", params=query)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "change",
    [
        {"hub.verify_token": "wrong"},
        {"hub.verify_token": "meatyhamhock\nbeefstew"},
        {"hub.verify_token": ""},
        {"hub.verify_token": "m\u00e9at"},
        {"hub.verify_token": None},
        {"hub.mode": "unsubscribe"},
        {"hub.mode": None},
        {"hub.challenge": None},
        {"hub.challenge": ""},
        {"hub.challenge": "x" * 257},
        {"hub.challenge": "<script>alert(1)</script>"},
    ],
)
def test_another_challenge_is_forbidden(http: httpx.Client, change: dict[str, str | None]) -> None:
    """403 otherwise; what comes back is never HTML, and never long."""
    query = {
        "hub.mode": "subscribe",
        "hub.challenge": "1158201444",
        "hub.verify_token": "meatyhamhock",
    } | change
    answer = http.get(
        "/webhook/facebook",
        params={name: value for name, value in query.items() if value is not None},
    )
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "1158201444" not in answer.text
    assert "script" not in answer.text


def test_verify_token_is_not_in_the_log(ingest: Function, http: httpx.Client) -> None:
    """No secret in logs, not even at the level DEBUG: the verify token is part of the query."""
    query = {"hub.mode": "subscribe", "hub.challenge": "77", "hub.verify_token": "meatyhamhock"}
    assert http.get("/webhook/facebook", params=query).text == "77"
    assert '"/webhook/facebook"' in ingest.log.read_text()
    assert "meatyhamhock" not in ingest.log.read_text()


@pytest.mark.parametrize("secret", ["old app secret", "new app secret"])
async def test_facebook_is_taken_with_either_secret(
    http: httpx.Client, nats_url: str, secret: str
) -> None:
    """`X-Hub-Signature-256` with the app secret; two secrets valid at once for rotation."""
    body = sent("facebook", eventId=f"with the {secret}")
    answer = post(http, "facebook", body, facebook(body, secret))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert await subjects(nats_url) == {"events.facebook": 1}


async def test_facebook_is_refused_without_a_right_signature(
    http: httpx.Client, nats_url: str
) -> None:
    """Nothing is written without the secret of the source; no other credential helps."""
    body = sent("facebook")
    for headers in (
        {},
        {"X-Api-Key": "open sesame"},
        {"Authorization": "Bearer open sesame"},
        facebook(body, "another secret"),
        facebook(body, "old app secret\nnew app secret"),
        facebook(body, ""),
        facebook(body + b" "),
        tiktok(body),
        {"X-Hub-Signature": f"sha1={hmac_of('new app secret', body, 'sha1')}"},
    ):
        answer = post(http, "facebook", body, headers)
        assert answer.status_code == 401, headers
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert await subjects(nats_url) == {}


async def test_secret_of_a_webhook_does_not_open_the_way_of_the_api_key(
    http: httpx.Client, nats_url: str
) -> None:
    """One secret per source: `/webhook/event` takes the API key and no signature."""
    body = sent("facebook")
    assert post(http, "event", body, facebook(body)).status_code == 401
    assert post(http, "event", body, {"X-Api-Key": "new app secret"}).status_code == 401
    assert await subjects(nats_url) == {}
    assert post(http, "event", body, {"X-Api-Key": "open sesame"}).status_code == 202


def test_tiktok_is_taken_for_five_minutes(http: httpx.Client) -> None:
    """`TikTok-Signature: t=...,s=...` (HMAC-SHA256 of `t.body`) with a window of 5 minutes."""
    now, body = time.time(), sent("tiktok")
    for age in (0, 290, -290):
        assert post(http, "tiktok", body, tiktok(body, now - age)).status_code == 202, age
    for age in (310, -310, 200 * 86400):
        answer = post(http, "tiktok", body, tiktok(body, now - age))
        assert answer.status_code == 401, age
        assert "300 s" in answer.json()["detail"]
    renewed = tiktok(body, now - 310)["TikTok-Signature"].split(",")[1]
    assert (
        post(http, "tiktok", body, {"TikTok-Signature": f"t={int(now)},{renewed}"}).status_code
        == 401
    )
    assert post(http, "tiktok", body, tiktok(body, secret="new app secret")).status_code == 401
    assert post(http, "tiktok", body + b" ", tiktok(body)).status_code == 401


def generic(name: str, body: bytes) -> dict[str, str]:
    """Sign as the sender of one of the configured webhooks does."""
    now, secret = int(time.time()), SECRETS[f"webhook-{name}"]
    match name:
        case "shop":
            digest = hmac.digest(secret.encode(), body, "sha256")
            return {"X-Shopify-Hmac-SHA256": b64encode(digest).decode()}
        case "code":
            return {"X-Hub-Signature-256": f"sha256={hmac_of(secret, body)}"}
        case "billing":
            signature = hmac_of(secret, f"{now}.".encode() + body)
            return {"Stripe-Signature": f"t={now},v1={signature},v0={'0' * 64}"}
        case "cdp":
            return {"X-Signature": hmac_of(secret, body, "sha1")}
        case "partner":
            content = f"msg_1.{now}.".encode() + body
            digest = hmac.digest(b"a key of 24 random bytes", content, "sha256")
            return {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(now),
                "webhook-signature": f"v1,{b64encode(digest).decode()}",
            }
        case _:
            signature = hmac_of(secret, f"{now}000\n".encode() + body, "sha512")
            return {"X-Custom-Signature": signature, "X-Custom-Time": f"{now}000"}


@pytest.mark.parametrize("name", [name for name in WEBHOOKS if name != "closed"])
async def test_webhook_by_configuration(http: httpx.Client, nats_url: str, name: str) -> None:
    """A generic adapter: header, algorithm, prefix, what is signed, time window."""
    sources: Any = WEBHOOKS[name]["sources"]
    for source in sources:
        body = sent(source, eventId=f"{name} {source}")
        headers = generic(name, body)
        assert post(http, name, body, headers).status_code == 202
        assert post(http, name, body[:-1] + b" }", headers).status_code == 401
        for header in headers:
            rest = {key: value for key, value in headers.items() if key != header}
            assert post(http, name, body, rest).status_code == 401
    assert await subjects(nats_url) == {f"events.{source}": 1 for source in sources}


async def test_events_of_another_source_are_rejected(http: httpx.Client, nats_url: str) -> None:
    """A secret that leaked writes nothing of another source, not even by a replay of the DLQ."""
    mine, other = event("facebook"), event("tiktok")
    body = json.dumps([other, mine, other | {"timestamp": "2999-01-01T00:00:00Z"}]).encode()
    answer = post(http, "facebook", body, facebook(body))
    assert answer.status_code == 202
    first, second = answer.json()["rejected"]
    assert answer.json()["accepted"] == 1
    assert (first["index"], second["index"]) == (0, 2)
    assert first["errors"] == [
        {
            "loc": ["source"],
            "msg": "/webhook/facebook takes events of facebook, not of tiktok",
            "type": "source_not_allowed",
        }
    ]
    assert second["errors"] == first["errors"]
    body = json.dumps(other).encode()
    answer = post(http, "facebook", body, facebook(body))
    assert answer.status_code == 422
    assert answer.json()["rejected"][0]["errors"] == first["errors"]
    assert await subjects(nats_url) == {"events.facebook": 1}
    metrics = http.get("/metrics").text
    assert re.search(r"^universe_ingest_events_foreign_total [3-9]", metrics, re.MULTILINE)


async def test_event_of_another_source_with_a_number_of_any_length_is_rejected(
    http: httpx.Client, nats_url: str
) -> None:
    """The same for an event that not every parser of JSON reads: no way around, and no 500."""
    body = sent("tiktok")[:-1] + b', "note": ' + b"9" * 400 + b"}"
    answer = post(http, "facebook", body, facebook(body))
    assert answer.status_code == 422
    [rejected] = answer.json()["rejected"]
    assert rejected["errors"][0]["type"] == "source_not_allowed"
    assert await subjects(nats_url) == {}
    assert post(http, "event", body, {"X-Api-Key": "open sesame"}).status_code == 202


async def test_invalid_events_of_the_source_are_dead_letters(
    http: httpx.Client, nats_url: str
) -> None:
    """What a sender with the secret sends and the contract refuses is kept, as everywhere."""
    body = sent("facebook", eventType="nothing known")
    assert post(http, "facebook", body, facebook(body)).status_code == 422
    assert await subjects(nats_url) == {"dlq.EVENTS.events.facebook": 1}


def test_webhook_without_a_secret_is_closed(http: httpx.Client) -> None:
    """A door without its secret is closed, never open."""
    body = sent("facebook")
    for headers in ({}, facebook(body, ""), {"X-Api-Key": "open sesame"}):
        answer = post(http, "closed", body, headers)
        assert answer.status_code == 401
        assert "webhook-closed" in answer.json()["detail"]
    assert post(http, "unknown", body, facebook(body)).status_code == 404
    assert post(http, "facebook-verify-token", body, facebook(body)).status_code == 404


def test_configured_webhook_without_a_secret_is_in_the_log(ingest: Function) -> None:
    """Who configures a webhook and forgets its secret reads so at the start."""
    lines = [json.loads(line) for line in ingest.log.read_text().splitlines() if "closed" in line]
    assert any(
        line["message"] == "webhook closed: no secret" and line["webhook"] == "closed"
        for line in lines
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("webhook-facebook", "\n", "webhook-facebook is empty"),
        *(
            pytest.param(*more, marks=pytest.mark.slow)
            for more in (
                ("webhook-facebook-verify-token", "", "webhook-facebook-verify-token is empty"),
                ("webhook-partner", "not as it should be", "webhook-partner cannot be used"),
            )
        ),
    ],
)
def test_secret_that_cannot_be_used_stops_ingest(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    """A door that should be closed and cannot be stops the component with one clear line."""
    (tmp_path / "ingest-api-key").write_text("open sesame")
    (tmp_path / name).write_text(text)
    partner = {"partner": WEBHOOKS["partner"]} if name == "webhook-partner" else {}
    done = subprocess.run(
        [sys.executable, str(ENTRY)],
        env={
            "PYTHONPATH": str(ROOT),
            "FUNCTION_MODULE": "functions.ingest.handler",
            "SECRETS_DIR": str(tmp_path),
            "WEBHOOKS": json.dumps(partner),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert said in line


def test_signature_is_of_the_bytes_as_they_are_sent(http: httpx.Client) -> None:
    """Signed bytes are compared before anything is decompressed: a gzip body is signed as gzip."""
    body = sent("facebook")
    packed = gzip.compress(body)
    encoded = {"Content-Encoding": "gzip"}
    assert post(http, "facebook", packed, encoded | facebook(packed)).status_code == 202
    assert post(http, "facebook", packed, encoded | facebook(body)).status_code == 401


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (b"x", {"Content-Encoding": "br"}, 415),
        (b"x", {"Content-Type": "image/png"}, 415),
        (b"not json", {}, 400),
        (b"", {}, 400),
        (b"[" + b"{}," * 10_001 + b"{}]", {}, 413),
    ],
)
def test_nothing_is_parsed_before_the_signature_is_right(
    http: httpx.Client, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Signed bytes are compared before anything is parsed."""
    wrong = facebook(body, "another secret")
    assert post(http, "facebook", body, wrong | headers).status_code == 401
    assert post(http, "facebook", body, facebook(body) | headers).status_code == status


def test_body_beyond_the_limit_is_refused_before_it_is_signed(http: httpx.Client) -> None:
    """What a signature may cost is bounded by MAX_BODY_BYTES."""
    body = b" " * (EIGHT_MIB + 1)
    assert post(http, "facebook", body, facebook(body)).status_code == 413


UNREADABLE = [
    ("event", {}),
    ("event", {"X-Api-Key": "wrong"}),
    ("facebook", {}),
    ("facebook", {"X-Hub-Signature-256": "sha256=00"}),
    ("facebook", {"X-Api-Key": "open sesame"}),
    ("tiktok", {"TikTok-Signature": f"t=1633174587,s={'0' * 64}"}),
    ("tiktok", {"TikTok-Signature": f"s={'0' * 64}"}),
    ("partner", {"Webhook-Signature": f"v1,{b64encode(bytes(32)).decode()}"}),
    ("closed", {"X-Hub-Signature-256": f"sha256={'0' * 64}"}),
]


class Connection:
    """A connection on which a request is sent bit by bit."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send_head(self, path: str, headers: dict[str, str]) -> None:
        lines = [f"POST {path} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def read_answer(self) -> int:
        """Read a whole answer, and return its status."""
        status = int(self.file.readline().split()[1])
        length = 0
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                length = int(value)
        self.file.read(length)
        return status


@pytest.mark.parametrize(("name", "headers"), UNREADABLE)
def test_wrong_key_is_found_before_the_body_is_read(
    ingest: Function, name: str, headers: dict[str, str]
) -> None:
    """A wrong key is found before the body is read: 401 before a byte of 8 MiB has been sent."""
    length = {"Content-Length": str(EIGHT_MIB), "Content-Type": "application/json"}
    with Connection(ingest.url) as connection:
        connection.send_head(f"/webhook/{name}", length | headers)
        assert connection.read_answer() == 401
    with Connection(ingest.url) as connection:  # which waits for leave to send the body
        connection.send_head(f"/webhook/{name}", length | headers | {"Expect": "100-continue"})
        assert connection.read_answer() == 401


def test_sender_that_may_send_is_told_to_continue(ingest: Function) -> None:
    """`Expect: 100-continue` is answered where the headers are right."""
    body = sent("facebook")
    head = facebook(body) | {"Content-Length": str(len(body)), "Expect": "100-continue"}
    with Connection(ingest.url) as connection:
        connection.send_head("/webhook/facebook", head)
        assert connection.read_answer() == 100
        connection.socket.sendall(body)
        assert connection.read_answer() == 202


def test_body_of_a_refused_request_is_no_request(ingest: Function) -> None:
    """The connection stays usable: the unread body is dropped, and not taken for a request."""
    body = sent("facebook")
    smuggled = b"POST /webhook/event HTTP/1.1\r\nX-Api-Key: open sesame\r\n\r\n"
    unread = smuggled + b"x" * (EIGHT_MIB - len(smuggled))
    with Connection(ingest.url) as connection:
        connection.send_head("/webhook/facebook", {"Content-Length": str(len(unread))})
        assert connection.read_answer() == 401
        connection.socket.sendall(unread)
        connection.send_head(
            "/webhook/facebook", facebook(body) | {"Content-Length": str(len(body))}
        )
        connection.socket.sendall(body)
        assert connection.read_answer() == 202


def test_chunked_body_of_a_refused_request_is_no_request(ingest: Function) -> None:
    """The same where the sender does not say how long its body is."""
    body = sent("facebook")
    with Connection(ingest.url) as connection:
        connection.send_head("/webhook/facebook", {"Transfer-Encoding": "chunked"})
        assert connection.read_answer() == 401
        for _ in range(8):
            connection.socket.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        connection.socket.sendall(b"0\r\n\r\n")
        right = facebook(body) | {"Content-Length": str(len(body))}
        connection.send_head("/webhook/facebook", right)
        connection.socket.sendall(body)
        assert connection.read_answer() == 202


def test_connection_that_shall_be_closed_is_closed_without_the_body(ingest: Function) -> None:
    """Who asks for `Connection: close` is not waited for."""
    with Connection(ingest.url) as connection:
        head = {"Content-Length": str(EIGHT_MIB), "Connection": "close"}
        connection.send_head("/webhook/facebook", head)
        assert connection.read_answer() == 401
        assert connection.file.read() == b""


def test_refusals_are_counted_by_reason(http: httpx.Client) -> None:
    """Refusals are counted in a metric."""
    before = refusals(http)
    body = sent("tiktok")
    post(http, "tiktok", body, {})
    post(http, "tiktok", body, {"TikTok-Signature": "x"})
    post(http, "tiktok", body, tiktok(body, 0))
    post(http, "tiktok", body, tiktok(body, secret="x"))
    post(http, "closed", body, {})
    post(http, "event", body, {})
    post(http, "event", body, {"X-Api-Key": "x"})
    http.get("/webhook/facebook", params={"hub.verify_token": "x"})
    after = refusals(http)
    assert {key: count - before.get(key, 0) for key, count in after.items()
            if count != before.get(key, 0)} == {
        ("/webhook/tiktok", "missing"): 1,
        ("/webhook/tiktok", "malformed"): 1,
        ("/webhook/tiktok", "expired"): 1,
        ("/webhook/tiktok", "wrong"): 1,
        ("/webhook/closed", "no_secret"): 1,
        ("/webhook/event", "missing"): 1,
        ("/webhook/event", "wrong"): 1,
        ("/webhook/facebook", "wrong"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "notification"),
    [
        (
            "facebook",
            {
                "object": "page",
                "entry": [{"id": "0", "time": 1, "changes": [{"field": "feed", "value": {}}]}],
            },
        ),
        (
            "tiktok",
            {
                "client_key": "bwo2m45353a6k85",
                "event": "video.publish.completed",
                "create_time": 1615338610,
                "user_openid": "act.example12345Example12345Example",
                "content": '{"share_id":"video.6974245311675353080.VDCxrcMJ"}',
            },
        ),
    ],
)
def test_body_in_the_sender_s_own_format_is_named_as_such(
    http: httpx.Client, name: str, notification: object
) -> None:
    """The contract's events are taken, not Facebook's `entry`: the error says so."""
    body = json.dumps(notification).encode()
    signed = facebook(body) if name == "facebook" else tiktok(body)
    answer = post(http, name, body, signed)
    assert answer.status_code == 422
    assert "the sender's own format" in answer.json()["detail"]
    assert "docs/webhooks.md" in answer.json()["detail"]


def test_methods_of_webhooks(http: httpx.Client) -> None:
    """GET is for Facebook's challenge only."""
    for name, allowed in (("facebook", "GET, POST"), ("tiktok", "POST"), ("event", "POST")):
        answer = http.put(f"/webhook/{name}")
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert http.get("/webhook/tiktok").status_code == 405


def test_webhooks_are_in_the_reference(http: httpx.Client) -> None:
    """The door has a sign: each webhook's path, its signature and the events that it takes."""
    document = http.get("/openapi.json").json()
    validate(document)
    paths, security = document["paths"], document["components"]["securitySchemes"]
    assert {"/webhook/facebook", "/webhook/tiktok"} < set(paths)
    assert {f"/webhook/{name}" for name in WEBHOOKS} < set(paths)
    operation = paths["/webhook/tiktok"]["post"]
    assert operation["security"] == [{"webhook-tiktok": []}]
    assert security["webhook-tiktok"]["name"] == "TikTok-Signature"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["oneOf"][0] == {"$ref": "#/components/schemas/TiktokEvent"}
    headers = {each["name"] for each in paths["/webhook/partner"]["post"]["parameters"]}
    assert {"Webhook-Id", "Webhook-Timestamp"} <= headers
    webhooks = {path: item for path, item in paths.items() if "{" not in path}
    assert [path for path, item in webhooks.items() if "get" in item] == ["/webhook/facebook"]
    for status, method, path in (
        (401, "post", "/webhook/tiktok"),
        (403, "get", "/webhook/facebook"),
        (405, "put", "/webhook/facebook"),
    ):
        assert http.request(method.upper(), path).status_code == status
        assert str(status) in paths[path].get(method, paths[path]["post"])["responses"]
