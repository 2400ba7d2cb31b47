"""The function ingest over HTTP, with a real broker behind it."""

import asyncio
import gzip
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from functions.common.broker import EVENTS, EVENTS_DLQ
from infra.cli.load.event_generator import Mix, generate
from infra.local.servers.nats import EmbeddedNats
from tests.support.functions import Function, running
from tests.support.net import plain_http, wait_until

EVENTS_PATH = "/webhook/event"


@pytest.fixture(scope="module")
def http(ingest: Function) -> Iterator[httpx.Client]:
    """A client of one process for most tests, which makes the streams again that are removed."""
    with httpx.Client(base_url=ingest.url, timeout=60, verify=False) as client:
        yield client


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    nc = await nats.connect(nats_url)
    yield nc.jetstream()
    await nc.close()


def valid(count: int, seed: int = 1) -> list[dict[str, Any]]:
    return [each.event for each in generate(count, seed)]


async def messages(js: JetStreamContext, stream: str) -> list[Msg]:
    """Take all messages out of a stream."""
    subscription = await js.pull_subscribe("", durable="test", stream=stream)
    found: list[Msg] = []
    while True:
        try:
            batch = await subscription.fetch(500, timeout=0.5)
        except TimeoutError:
            return found
        for message in batch:
            await message.ack()
        found += batch


def events_in(found: list[Msg]) -> list[dict[str, Any]]:
    payloads = [json.loads(message.data) for message in found]
    return [event for each in payloads for event in (each if isinstance(each, list) else [each])]


async def test_one_event_is_durable_when_it_is_accepted(
    http: httpx.Client, js: JetStreamContext
) -> None:
    [event] = valid(1)
    answer = http.post(EVENTS_PATH, json=event, headers={"X-Call-Id": "call-7"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert answer.headers["X-Call-Id"] == "call-7"
    [message] = await messages(js, EVENTS)
    assert message.subject == f"events.{event['source']}"
    assert json.loads(message.data) == event
    assert message.headers is not None
    assert message.headers["Event-Count"] == "1"
    assert message.headers["X-Call-Id"] == "call-7"


def test_both_ways_of_one_event_have_the_same_response(http: httpx.Client) -> None:
    event, *others = valid(4)
    old = event | {"timestamp": "2020-01-01T00:00:00Z"}
    accepted = 'universe_ingest_requests_total{route="/webhook/event",status="202"}'

    def requests() -> float:
        lines = http.get("/metrics").text.splitlines()
        return next((float(each.split()[1]) for each in lines if each.startswith(accepted)), 0.0)

    http.post(EVENTS_PATH, json=others[0])  # connects to the broker: the short way is open
    before = requests()
    for sent, status in ((event, 202), (old, 422), ({}, 422), (event | {"x": "\n\u00e9"}, 202)):
        answers = [
            http.post(
                EVENTS_PATH,
                content=json.dumps(sent),
                headers={"Content-Type": kind, "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"},
            )
            for kind in ("application/json", "application/json; charset=utf-8")
        ]
        assert [each.status_code for each in answers] == [status, status]
        assert answers[0].content == answers[1].content
        short, long = (dict(each.headers) | {"date": ""} for each in answers)
        assert short == long
        assert short["x-call-id"] == "ab" * 16
    assert requests() == before + 4


async def test_many_events_become_few_messages(http: httpx.Client, js: JetStreamContext) -> None:
    events = valid(4000)
    assert http.post("/", json=events).json()["accepted"] == 4000
    found = await messages(js, EVENTS)
    assert len(found) < 12
    assert all(len(message.data) <= 512 * 1024 for message in found)
    counts = [int((message.headers or {})["Event-Count"]) for message in found]
    assert sum(counts) == 4000
    by_id = {event["eventId"]: event for event in events}
    assert {event["eventId"]: event for event in events_in(found)} == by_id


async def test_requests_at_the_same_time_share_messages(
    nats_url: str, js: JetStreamContext, tmp_path: Path
) -> None:
    events = [event for event in valid(400) if event["source"] == "facebook"]
    # a window that even a slow machine fills
    with running(
        "functions.ingest.handler", tmp_path / "log", NATS_URL=nats_url, LINGER_MS="100"
    ) as function:
        async with httpx.AsyncClient(base_url=function.url, timeout=60) as client:
            answers = await asyncio.gather(*(client.post("/", json=event) for event in events))
    assert {answer.status_code for answer in answers} == {202}
    found = await messages(js, EVENTS)
    assert len(events_in(found)) == len(events)
    assert len(found) < len(events) / 4


async def test_rejected_events_are_named_and_kept_with_their_bytes(
    http: httpx.Client, js: JetStreamContext
) -> None:
    good = valid(2)
    bad = b'{"eventId" : "bad-1",  "source":"tiktok", "funnelStage":"top"}'
    body = b"[" + json.dumps(good[0]).encode() + b", " + bad + b", 7, "
    body += json.dumps(good[1]).encode() + b"]"
    answer = http.post(EVENTS_PATH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    first, second = answer.json()["rejected"]
    assert (first["index"], first["eventId"]) == (1, "bad-1")
    assert {"loc": ["timestamp"], "msg": "Field required", "type": "missing"} in first["errors"]
    assert (second["index"], second["eventId"]) == (2, None)
    letters = {message.data: message for message in await messages(js, EVENTS_DLQ)}
    assert set(letters) == {bad, b"7"}
    assert letters[bad].subject == "dlq.EVENTS.events.tiktok"
    assert letters[b"7"].subject == "dlq.EVENTS.events.unknown"
    headers = letters[bad].headers or {}
    assert "timestamp: Field required" in headers["Dlq-Reason"]
    assert headers["Dlq-Subject"] == "events.tiktok"
    assert headers["X-Call-Id"] == answer.headers["X-Call-Id"]
    assert len(await messages(js, EVENTS)) >= 1


async def test_a_request_sent_again_does_not_fill_the_streams_twice(
    http: httpx.Client, js: JetStreamContext
) -> None:
    body = [valid(1)[0], {"eventId": "bad"}]
    for _ in range(3):
        assert http.post("/", json=body).status_code == 202
    assert len(await messages(js, EVENTS)) == 1
    assert len(await messages(js, EVENTS_DLQ)) == 1


def test_ndjson_and_gzip(http: httpx.Client) -> None:
    lines = [json.dumps(event) for event in valid(3)] + ["", "no json"]
    answer = http.post(
        "/",
        content=gzip.compress("\r\n".join(lines).encode()),
        headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 3
    assert [each["index"] for each in answer.json()["rejected"]] == [3]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[1,", {}, 400),
        (b"[\xff]", {}, 400),
        (gzip.compress(b"[]" * 99, mtime=0)[:-6], {"Content-Encoding": "gzip"}, 400),
        (b"[]", {"Content-Encoding": "br"}, 415),
        (b"<event/>", {"Content-Type": "application/xml"}, 415),
        (b"[]", {}, 422),
        (b"[{}, 1]", {}, 422),
        (b'{"eventId": "x"}', {}, 422),
        (b"[" + b"1," * 10_000 + b"1]", {}, 413),
        (b" " * (8 * 1024**2 + 1), {}, 413),
        (gzip.compress(b" " * (8 * 1024**2 + 1), mtime=0), {"Content-Encoding": "gzip"}, 413),
    ],
)
def test_what_cannot_be_taken_is_a_problem(
    http: httpx.Client, content: bytes, headers: dict[str, str], status: int
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    answer = http.post(EVENTS_PATH, content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith(".")


def test_other_paths_and_methods(http: httpx.Client) -> None:
    assert http.post("/elsewhere", json={}).status_code == 404
    answer = http.get(EVENTS_PATH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "strange",
    [
        '{"eventId": "x", "a": NaN}',
        "[" * 3000 + "]" * 3000,
        "9" * 5000,
        '"\\ud800"',
        '{"a":1,"a":2}',
        '{"a":1e400}',
    ],
)
def test_a_strange_event_does_not_hold_up_its_neighbours(http: httpx.Client, strange: str) -> None:
    one, two = map(json.dumps, valid(2))
    answer = http.post(
        "/", content=f"[{one},{strange},{two}]", headers={"Content-Type": "text/json"}
    )
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [each["index"] for each in answer.json()["rejected"]] == [1]


@pytest.mark.parametrize("number", ["1e400", "-1E+999", "9" * 400 + ".5"])
def test_a_number_that_nothing_can_hold_is_rejected(http: httpx.Client, number: str) -> None:
    text = json.dumps(valid(1)[0])
    answer = http.post("/", content=f'{text[:-1]},"unknown":{number}}}')
    assert answer.status_code == 422
    [rejected] = answer.json()["rejected"]
    assert rejected["errors"][0]["type"] == "number_out_of_range"


@pytest.mark.parametrize("number", ["1e300", '"12e400"', "9" * 400])
def test_other_long_numbers_are_taken(http: httpx.Client, number: str) -> None:
    text = json.dumps(valid(1)[0])
    answer = http.post("/", content=f'{text[:-1]},"unknown":{number}}}')
    assert answer.json() == {"accepted": 1, "rejected": []}


def test_health_and_metrics(http: httpx.Client) -> None:
    assert http.get("/health/readiness").json() == {"status": "ok", "checks": {"nats": "ok"}}
    before = figures(http)
    generated = list(generate(200, 4, Mix(invalid=0.2)))
    http.post("/", json=[each.event for each in generated])
    bad = sum(each.kind == "invalid" for each in generated)
    assert figures(http)["accepted"] - before["accepted"] == 200 - bad
    assert figures(http)["rejected"] - before["rejected"] == bad


def figures(http: httpx.Client) -> Counter[str]:
    """Return how many events the metrics say were accepted and rejected."""
    found: Counter[str] = Counter()
    for line in http.get("/metrics").text.splitlines():
        for outcome in ("accepted", "rejected"):
            if line.startswith(f"universe_ingest_events_{outcome}_total{{"):
                found[outcome] += int(float(line.rpartition(" ")[2]))
    return found


def test_keys_and_signatures(nats_url: str, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "ingest-api-key").write_text("open sesame\n")
    (secrets / "webhook-facebook").write_text("whisper")
    body = json.dumps(next(e for e in valid(20) if e["source"] == "facebook")).encode()
    signature = "sha256=" + hmac.new(b"whisper", body, hashlib.sha256).hexdigest()
    with running(
        "functions.ingest.handler", tmp_path / "log", NATS_URL=nats_url, SECRETS_DIR=str(secrets)
    ) as function:

        def post(content: bytes = body, path: str = EVENTS_PATH, **headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            named["Content-Type"] = "application/json"
            return plain_http.post(function.url + path, content=content, headers=named).status_code

        assert post() == 401
        assert post(path="/") == 401
        assert post(X_Api_Key="wrong") == 401
        assert post(X_Api_Key="open sesame") == 202
        assert post(path="/", X_Api_Key="open sesame") == 202
        assert post(Authorization="Bearer open sesame") == 202
        webhook = "/webhook/facebook"
        assert post(path=webhook, X_Hub_Signature_256=signature) == 202
        assert post(body + b" ", path=webhook, X_Hub_Signature_256=signature) == 401


def test_broker_away_and_back(nats_server: EmbeddedNats, tmp_path: Path) -> None:
    event = valid(1)[0]
    with running(
        "functions.ingest.handler", tmp_path / "log", NATS_URL=nats_server.url
    ) as function:
        assert plain_http.post(function.url, json=event).status_code == 202
        nats_server.kill()
        answer = plain_http.post(function.url, json=event, timeout=30)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert plain_http.get(function.url + "/health/readiness", timeout=30).status_code == 503
        assert plain_http.get(function.url + "/health/liveness").status_code == 200
        nats_server.start()
        wait_until(lambda: plain_http.post(function.url, json=event, timeout=30).status_code == 202)


def test_broker_away_from_the_start(tmp_path: Path) -> None:
    with running(
        "functions.ingest.handler", tmp_path / "log", NATS_URL="nats://127.0.0.1:1"
    ) as function:
        answer = plain_http.post(function.url, json=valid(1)[0], timeout=30)
        assert answer.status_code == 503
        assert "broker" in answer.json()["detail"]


def test_a_full_stream_is_told_to_the_caller(nats_url: str, tmp_path: Path) -> None:
    with running(
        "functions.ingest.handler",
        tmp_path / "log",
        NATS_URL=nats_url,
        STREAM_MAX_BYTES=str(64 * 1024),
    ) as function:
        statuses = [
            plain_http.post(function.url, json=valid(50, seed), timeout=30).status_code
            for seed in range(8)
        ]
        assert statuses[0] == 202
        assert statuses[-1] == 503
        answer = plain_http.post(function.url, json=valid(50, 99), timeout=30)
        assert "full" in answer.json()["detail"]
        assert answer.headers["Retry-After"]


def test_sigterm_finishes_the_requests_in_hand(nats_url: str, tmp_path: Path) -> None:
    event = json.dumps(valid(1)[0]).encode()
    with running("functions.ingest.handler", tmp_path / "log", NATS_URL=nats_url) as function:

        def slowly() -> Iterator[bytes]:
            yield event[:20]
            function.process.terminate()
            wait_until(lambda: _refuses(function.url), 10)
            yield event[20:]

        answer = plain_http.post(
            function.url, content=slowly(), headers={"Content-Type": "application/json"}, timeout=30
        )
        assert answer.status_code == 202
        assert function.process.wait(30) == 0


def _refuses(url: str) -> bool:
    try:
        plain_http.get(url + "/health/liveness", timeout=1)
    except httpx.TransportError:
        return True
    return False
