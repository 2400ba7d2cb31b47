"""Section 1: process-batch takes batches only from the connector, and nothing is lost by that."""

import asyncio
import gzip
import http.client
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psutil
import pytest
from nats.js import JetStreamContext

from functions.common import signature
from functions.common.broker import BrokerSettings, ensure_streams
from tests.conftest import Database
from tests.support.connector import ConnectorProcess
from tests.support.functions import Function
from tests.support.jetstream import drained
from tests.support.net import plain_http, wait_until
from tests.support.secrets import SIGNING_KEY, secrets_folder, signed
from tests.support.storage import BATCH, ask, cloud_event, process_batch
from tests.support.stored_events import generated

HEADER = signature.HEADER
FIRST_BYTES = 64 * 1024
"""Of a body, which the template waits for before it calls the function."""


def refused(function: Function) -> dict[str, float]:
    """Return how many requests were refused, by what was wrong with them."""
    found: dict[str, float] = {}
    for line in plain_http.get(function.url + "/metrics").text.splitlines():
        if line.startswith("universe_process_batch_credentials_refused_total{"):
            found[line.split('"')[1]] = float(line.rpartition(" ")[2])
    return found


def post(
    function: Function, body: bytes, *headers: dict[str, str], path: str = "/"
) -> tuple[int, str]:
    """Post a batch, and return the status and the content type of the response."""
    named = dict(BATCH)
    for each in headers:
        named |= each
    answer = plain_http.post(function.url + path, content=body, headers=named, timeout=60)
    return answer.status_code, answer.headers["Content-Type"]


def batch(*events: object) -> bytes:
    """Return the body of a batch with one message."""
    return json.dumps([cloud_event(1, list(events))]).encode()


@pytest.fixture
def function(database: Database, tmp_path: Path) -> Iterator[Function]:
    with process_batch(database.writer_url, tmp_path / "log") as running:
        yield running


def test_batches_are_taken_from_the_connector_only(function: Function, database: Database) -> None:
    """`POST /function/process-batch/` by anybody is answered 401, and nothing is stored."""
    body = batch(*generated(3))
    problem = (401, "application/problem+json")
    right = signed(body)
    strange = {"X-Api-Key": SIGNING_KEY, "Authorization": f"Bearer {SIGNING_KEY}"}
    assert post(function, body) == post(function, body, strange) == problem
    assert post(function, body, {HEADER: "let me in"}) == problem
    assert post(function, body, signed(body, key="another key")) == problem
    assert post(function, body + b" ", right) == problem
    for seconds in (-301, 302):
        assert post(function, body, signed(body, now=time.time() + seconds)) == problem
    for path in ("/", "/any/path?x=1"):
        answer = plain_http.post(function.url + path, content=body)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == HEADER
        assert "batch-signing-key" in answer.json()["detail"]
    assert refused(function) == {"missing": 4, "malformed": 1, "wrong": 2, "expired": 2}
    assert ask(database, "SELECT count(*) FROM events") == [(0,)]
    assert post(function, body, right)[0] == 200
    assert ask(database, "SELECT count(*) FROM events") == [(3,)]


def test_nothing_is_parsed_before_the_signature_is_checked(
    function: Function, database: Database
) -> None:
    """The signature is over the bytes as received, and what is not signed is not even unpacked."""
    for broken in (b"", b"{", b"[" * 100_000, gzip.compress(b"[" * 100_000)[:-9]):
        assert post(function, broken, {"Content-Encoding": "gzip"})[0] == 401
        assert post(function, broken)[0] == 401
    body = batch(*generated(2))
    packed = gzip.compress(body)
    encoding = {"Content-Encoding": "gzip"}
    assert post(function, packed, encoding, signed(body))[0] == 401
    assert ask(database, "SELECT count(*) FROM events") == [(0,)]
    assert post(function, packed, encoding, signed(packed))[0] == 200
    # one message in CloudEvents binary mode, as for functions without batches
    [event] = generated(1)
    single = json.dumps(event | {"eventId": "alone"}).encode()
    headers = {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "EVENTS:1"}
    assert post(function, single, headers)[0] == 401
    assert post(function, single, headers, signed(single))[0] == 200
    assert ask(database, "SELECT count(*) FROM events") == [(3,)]


@pytest.mark.parametrize("header", ["", f"{HEADER}: t=1,v1=00\r\n"], ids=["missing", "expired"])
def test_a_wrong_header_is_refused_before_the_body_has_arrived(
    function: Function, header: str
) -> None:
    """A wrong key is found before the body is read, but for what the template waits for."""
    address = urlsplit(function.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 20) as client:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n{header}\r\n"
        client.sendall(head.encode() + b"[" * FIRST_BYTES)
        assert b" 401 " in client.recv(1024).split(b"\r\n")[0]


@pytest.mark.parametrize(("size", "connection"), [(1000, "keep-alive"), (100_000, "close")])
def test_a_connection_is_closed_only_where_the_answer_says_so(
    function: Function, size: int, connection: str
) -> None:
    """A client that is told to keep the connection of a refused body may go on with it."""
    address = urlsplit(function.url)
    client = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    with closing(client):
        client.request("POST", "/", b"[" * size, BATCH)
        answer = client.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Connection"]) == (401, connection)
        # http.client connects again where it was told so, and only there
        client.request("GET", "/health/liveness")
        assert client.getresponse().status == 200


def peak_mib(function: Function) -> float:
    """Return the most memory that a process of the function ever had."""
    peaks: list[int] = []
    for child in psutil.Process(function.process.pid).children(recursive=True):
        status = Path(f"/proc/{child.pid}/status").read_text()
        peaks += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return max(peaks) / 1024


def test_a_large_body_that_is_refused_takes_no_memory(function: Function) -> None:
    """One request costs what it may cost, also where it is refused: it was read as a whole."""
    before = peak_mib(function)
    body = b"x" * (100 * 1024**2)
    for headers in ({}, {HEADER: "malformed"}, {"Content-Encoding": "gzip"}):
        assert post(function, body, headers)[0] == 401
    # signed, but longer than allowed: that it is too long is known from its length
    assert post(function, body, signed(body)) == (413, "application/problem+json")
    assert peak_mib(function) < before + 20


def test_an_event_stored_under_the_id_of_a_real_one_cannot_hide_it(
    function: Function, database: Database
) -> None:
    """An outsider's event with the id of a real one made the real one vanish as a duplicate."""
    [event] = generated(1)
    forged = event | {"eventId": "real-42", "timestamp": "2026-11-20T01:30:00Z"}
    assert post(function, batch(forged))[0] == 401
    real = batch({**forged, "data": event["data"]})
    assert post(function, real, signed(real)) == (200, "application/json")
    assert ask(database, "SELECT event_id FROM events") == [("real-42",)]


def test_two_keys_are_valid_at_once(database: Database, tmp_path: Path) -> None:
    """With a second line in the file, requests signed with either key are taken."""
    secrets = secrets_folder(tmp_path / "secrets", batch_signing_key="old\n\n new \n")
    body = batch(*generated(1))
    with process_batch(database.writer_url, tmp_path / "log", SECRETS_DIR=str(secrets)) as function:
        both = signature.sign([b"unknown", b"new"], body, time.time())
        for headers in (signed(body, "old"), signed(body, "new"), {HEADER: both}):
            assert post(function, body, headers)[0] == 200
        for key in ("old\n\n new", "unknown", ""):
            assert post(function, body, signed(body, key))[0] == 401


def test_an_open_door_is_one_warning(database: Database, tmp_path: Path) -> None:
    """`BATCH_AUTH=none` takes batches from anybody, and says so at the start."""
    log = tmp_path / "log"
    with process_batch(database.writer_url, log, BATCH_AUTH="none") as function:
        assert post(function, batch(*generated(1)))[0] == 200
    warnings = [line for line in log.read_text().splitlines() if '"WARNING"' in line]
    assert len(warnings) == 1
    assert "BATCH_AUTH=none: anybody may store events" in warnings[0]


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    nc = await nats.connect(nats_url)
    context = nc.jetstream()
    await ensure_streams(context, BrokerSettings(nats_url=nats_url))
    yield context
    await nc.close()


async def publish(js: JetStreamContext, first: int, last: int) -> None:
    """Publish events, one in each message."""
    for event in generated(last)[first:]:
        await js.publish("events.facebook", json.dumps(event).encode())


def errors(connector: ConnectorProcess) -> list[str]:
    """Return the ERROR lines of its log."""
    return [line["message"] for line in connector.lines() if line["level"] == "ERROR"]


@pytest.mark.parametrize("delivery", ["batch", "single"])
async def test_a_401_is_no_fault_of_the_messages(
    delivery: str, js: JetStreamContext, nats_url: str, database: Database, tmp_path: Path
) -> None:
    """Nothing is lost or dead-lettered because the two sides have different keys."""
    await publish(js, 0, 30)
    with process_batch(database.writer_url, tmp_path / "log") as function:
        settings = {"FUNCTION_URL": function.url, "DELIVERY": delivery, "NATS_MAX_DELIVER": "1"}
        secrets = str(secrets_folder(tmp_path / "other", batch_signing_key="another key"))
        with ConnectorProcess(
            tmp_path, nats_url, "wrong", SECRETS_DIR=secrets, **settings
        ) as wrong:
            wrong.start().bound()
            await asyncio.to_thread(wait_until, lambda: refused(function).get("wrong", 0) >= 3, 60)
            assert wrong.metrics()["paused_state"] == 1
            [line] = errors(wrong)
            assert "refuses the connector; messages wait: HTTP 401" in line
            assert "the same secret batch-signing-key" in line
        with ConnectorProcess(tmp_path, nats_url, "right", **settings) as right:
            right.start().bound()
            await drained(js)
            assert errors(right) == []
            assert right.metrics()["dead_events_total"] == 0
    assert (await js.stream_info("EVENTS_DLQ")).state.messages == 0
    assert ask(database, "SELECT count(*) FROM events") == [(30,)]


async def test_a_connector_without_a_key_is_told_to_have_one(
    js: JetStreamContext, nats_url: str, database: Database, tmp_path: Path
) -> None:
    """The line in its log says what to do."""
    await publish(js, 0, 1)
    (tmp_path / "none").mkdir()
    with (
        process_batch(database.writer_url, tmp_path / "log") as function,
        ConnectorProcess(
            tmp_path,
            nats_url,
            FUNCTION_URL=function.url,
            SECRETS_DIR=str(tmp_path / "none"),
        ) as connector,
    ):
        connector.start().bound()
        await asyncio.to_thread(wait_until, lambda: errors(connector), 60)
        assert "give the connector the function's secret batch-signing-key" in errors(connector)[0]
        assert set(refused(function)) == {"missing"}


@pytest.mark.slow
async def test_a_key_is_replaced_without_a_refused_batch(
    js: JetStreamContext, nats_url: str, database: Database, tmp_path: Path
) -> None:
    """Rotation: a second line on both sides, restarted in any order; then the old one goes."""
    secrets = {name: tmp_path / f"{name}-keys" for name in ("function", "connector")}
    steps = (
        {"function": "old", "connector": "old"},
        {"function": "old", "connector": "old\nnew"},  # the sender first
        {"function": "old\nnew", "connector": "old\nnew"},
        {"function": "old\nnew", "connector": "new"},
        {"function": "new", "connector": "new"},
        {"function": "new\nnewest", "connector": "new"},  # the receiver first
        {"function": "new\nnewest", "connector": "newest\nnew"},
        {"function": "newest", "connector": "newest\nnew"},
        {"function": "newest", "connector": "newest"},
    )
    for number, keys in enumerate(steps):
        for name, key in keys.items():
            secrets_folder(secrets[name], batch_signing_key=key)
        await publish(js, 10 * number, 10 * (number + 1))
        with (
            process_batch(
                database.writer_url, tmp_path / "log", SECRETS_DIR=str(secrets["function"])
            ) as function,
            ConnectorProcess(
                tmp_path,
                nats_url,
                f"connector-{number}",
                FUNCTION_URL=function.url,
                SECRETS_DIR=str(secrets["connector"]),
            ) as connector,
        ):
            connector.start().bound()
            await drained(js)
            assert refused(function) == {}, keys
            assert errors(connector) == []
    assert ask(database, "SELECT count(*) FROM events") == [(10 * len(steps),)]


def test_a_signature_is_of_its_time_at_each_attempt() -> None:
    """An old signature cannot be used again, so the connector signs each attempt anew."""
    now = time.time()
    first, later = (signature.sign([b"k"], b"x", now + wait) for wait in (0, 400))
    signature.verify([b"k"], later, b"x", now + 400)
    with pytest.raises(signature.SignatureError):
        signature.verify([b"k"], first, b"x", now + 400)
