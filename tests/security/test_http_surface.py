"""Done means: whatever is sent to the whole HTTP surface, no 5xx and no memory beyond the bounds.

The surface is the gateway and, through it, every function as an outsider reaches them. The long
versions run with the slow tests.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.common.events import SOURCES
from functions.common.paths import ROOT
from functions.ingest.api import schemas
from tests.support import kinds
from tests.support.platform import RunningPlatform, platform

BOUNDS_MB = {
    "ingest": 150,
    "process-batch": 350,
    "analytics-query": 256,
    None: 256,  # the gateway
}
MAX_ANSWER_BYTES = 1_000_000

EXAMPLES = [event for name in SOURCES for event in schemas.examples(name)]
OF_INGEST = (
    "/", "/webhook/event", *(f"/webhook/{name}" for name in SOURCES), "/webhook/nothing",
    "/openapi.json", "/api", "/api/", "/assets/swagger.js", "/schemas/facebook.json",
    "/schemas/x.json",
)  # fmt: skip
OF_ANALYTICS = (
    "/", "/api", "/openapi.json", "/assets/dashboard.js", "/assets/../handler.py",
    *(f"/analytics/{name}" for name in (
        "overview", "timeseries", "funnel", "countries", "campaigns", "users", "revenue",
        "demographics", "events", "nothing",
    )),
)  # fmt: skip
OF_EVERY_FUNCTION = ("/health/liveness", "/health/readiness", "/metrics", "/health", "/nothing")
OF_GATEWAY = (
    "/", "/ui/", "/ui/state", "/ui/nothing", "/healthz", "/metrics", "/function/",
    "/function/nothing",    "/async-function/nothing", "/async-function/ingest/webhook/event",
    "/system/functions", "/system/info", "/system/secrets", "/system/namespaces", "/system/http-sd",
    "/system/namespace/x", "/system/function/nothing", "/system/scale-function/nothing",
    "/system/logs",
)  # fmt: skip
PATHS = (
    *OF_GATEWAY,
    *(f"/function/ingest{path}" for path in (*OF_INGEST, *OF_EVERY_FUNCTION)),
    *(f"/function/analytics-query{path}" for path in (*OF_ANALYTICS, *OF_EVERY_FUNCTION)),
    *(f"/function/process-batch{path}" for path in ("/", "/any", *OF_EVERY_FUNCTION)),
)


@dataclass(frozen=True)
class Sent:
    """A request."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["eventId", "source", "id", "data", "specversion", "service", "name", "\0"]
            )
            | st.text(max_size=8),
            children,
            max_size=5,
        )
    ),
    max_leaves=12,
)


def cloud_events(value: object) -> list[object]:
    return [{"specversion": "1.0", "id": "EVENTS:1", "deliverycount": 1, "data": value}]


BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    JUNK.map(lambda value: json.dumps(value).encode()),
    JUNK.map(lambda value: json.dumps(cloud_events(value)).encode()),
    st.lists(st.sampled_from(EXAMPLES), max_size=3).map(lambda events: json.dumps(events).encode()),
    st.tuples(st.sampled_from(EXAMPLES), st.text(max_size=5), JUNK).map(
        lambda parts: json.dumps({**parts[0], parts[1]: parts[2]}).encode()
    ),
    st.sampled_from([
        b"\xff", b'{"eventId": "\xff"}',
        b"[" * 5000, b"[" + b"{}," * 9000 + b"{}]", b"9" * 5000, b'{"a":1e999}', b'"\\ud800"',
        b"\xef\xbb\xbf[]", b'{"eventId":"x"}\n' * 50, b'{"a":' * 900 + b"1" + b"}" * 900,
    ]),
)  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from([
            "", "application/json", "application/x-ndjson", "text/plain", "application/xml",
            "application/cloudevents-batch+json", "application/cloudevents+json",
            "application/json; charset=utf-16", "multipart/form-data; boundary=x", ";", "a" * 500,
        ]),
        "Content-Encoding": st.sampled_from(["gzip", "identity", "br", "gzip, gzip", "x-gzip"]),
        "Accept": st.sampled_from(["*/*", "text/csv", "application/x-ndjson", ";q=x", "text/html"]),
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0", "gzip;q=x, *;q=1", "br", ","]),
        "If-None-Match": st.sampled_from(["*", '"x"', "W/", '"', "x" * 3000]),
        "X-Call-Id": st.sampled_from(["c-1", "x" * 200, "\xe9"]),
        "X-Api-Key": st.sampled_from(["", "wrong", "\xe9"]),
        "Authorization": st.sampled_from(["Bearer wrong", "Basic eDp5", "Basic \xe9", "Basic"]),
        "Universe-Signature": st.sampled_from(["t=1,v1=00", "t=x", "v1=" + "0" * 64, "t=1," * 99]),
        "X-Hub-Signature-256": st.sampled_from(["sha256=", "sha256=" + "0" * 64, "\xe9"]),
        "TikTok-Signature": st.sampled_from(["t=1,s=00", "s=" + "0" * 64, f"t={'9' * 20},s=x"]),
        "X-Callback-Url": st.sampled_from(["http://127.0.0.1:1/", "file:///etc/passwd", "x"]),
        "Origin": st.sampled_from(["http://evil.example", "null"]),
        "Host": st.sampled_from(["evil.example", "localhost"]),
        "ce-specversion": st.just("1.0"),
        "ce-id": st.sampled_from(["EVENTS:1", "\xe9"]),
        "traceparent": st.sampled_from(["00-0-0-0", "x"]),
        "Range": st.just("bytes=0-1"),
    },
)  # fmt: skip
QUERIES = st.dictionaries(
    st.sampled_from([
        "from", "to", "limit", "cursor", "where", "exact", "source", "interval", "split", "format",
        "sort", "by", "userId", "name", "since", "tail", "follow",
        "hub.mode", "hub.challenge", "hub.verify_token",
    ]),
    st.sampled_from([
        "", "1", "-1", "9" * 30, "true", "{}", '{"user":{}}', "[", "2026-11-01", "minute", "csv",
        "ndjson", "json", "facebook", "subscribe", "\0", "\ud7ff", "' OR 1=1 --", "x" * 300,
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    ]),
    max_size=3,
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """Any request to the surface."""
    path = draw(st.sampled_from(PATHS))
    if draw(st.integers(0, 9)) == 0:
        path += draw(st.text(alphabet="/.%?#&=~ax\u20ac", max_size=8))
    method = draw(
        st.sampled_from(
            ["GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"]
        )
    )
    headers = draw(HEADERS)
    body = b"" if method in ("GET", "HEAD") else draw(BODIES)
    if headers.get("Content-Encoding") == "gzip" and draw(st.booleans()):
        body = gzip.compress(body, mtime=0)
    return Sent(method, path, draw(QUERIES), headers, body)


def array(element: bytes, size: int) -> bytes:
    """Return a JSON array of `size` bytes."""
    return b"[" + element * (size // len(element)) + b"1]"


GZIP = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
BOMBS: dict[str, Callable[[], bytes]] = {
    "empty arrays": lambda: array(b"[],", 8_300_000),
    "empty objects": lambda: array(b"{},", 8_300_000),
    "few empty objects": lambda: array(b"{},", 29_997),
    "digits": lambda: array(b"1,", 8_300_000),
    "spaces": lambda: b" " * 60_000_000,
    "one event": lambda: (
        json.dumps(EXAMPLES[0]).encode()[:-1] + b',"x":[' + b"[]," * 2_700_000 + b"1]}"
    ),
    "nested": lambda: b'{"a":' * 1_000_000,
}
"""What small gzip bodies become."""


@dataclass(frozen=True)
class Surface:
    """A running platform and a client without any key."""

    up: RunningPlatform
    client: httpx.Client

    def send(self, sent: Sent) -> None:
        """Send a request; fail if its answer is a 5xx, or is very long."""
        try:
            request = self.client.build_request(
                sent.method,
                sent.path,
                params=sent.query or None,
                headers=[(name.encode(), value.encode("latin-1"))
                         for name, value in sent.headers.items()],
                content=sent.body,
            )  # fmt: skip
        except httpx.InvalidURL:
            return
        answer = self.client.send(request)
        assert answer.status_code < 500, f"{sent}: {answer.status_code} {answer.text[:500]}"
        if "/assets/" not in sent.path:
            assert len(answer.content) < MAX_ANSWER_BYTES, sent

    def check_memory(self) -> None:
        """Fail if a process has ever used more memory than its bound."""
        assert self.up.process
        found: set[str | None] = set()
        for process in self.up.processes():
            name = None if process.pid == self.up.process.pid else process.name()
            if name in BOUNDS_MB:
                status = Path(f"/proc/{process.pid}/status").read_text()
                [peak] = [line.split()[1] for line in status.splitlines() if "VmHWM" in line]
                assert int(peak) / 1024 < BOUNDS_MB[name], name
                found.add(name)
        assert found == set(BOUNDS_MB)


@pytest.fixture(scope="module")
def surface() -> Iterator[Surface]:
    with tempfile.TemporaryDirectory(prefix="universe-surface-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        with (
            platform(folder) as up,
            httpx.Client(base_url=up.gateway, timeout=60, verify=False) as client,
        ):
            for path in ("ingest/webhook/event", "process-batch/"):
                client.post(f"/function/{path}", content=b"{}")
            client.get("/function/analytics-query/analytics/overview")
            yield Surface(up, client)


@given(st.lists(requests(), min_size=1, max_size=10))
@settings(
    max_examples=kinds.examples(quick=40),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@pytest.mark.slow
def test_no_request_makes_an_error(surface: Surface, sequence: list[Sent]) -> None:
    """A hypothesis run of the whole HTTP surface shows no 5xx."""
    for sent in sequence:
        surface.send(sent)


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("function", ["ingest", "process-batch", "analytics-query"])
@pytest.mark.slow
def test_no_small_body_takes_much_memory(surface: Surface, function: str, name: str) -> None:
    """Bodies that decompress to a lot are refused or taken within the bounds."""
    body = gzip.compress(BOMBS[name](), mtime=0)
    for path in (
        "/",
        *(f"/webhook/{name}" for name in (*SOURCES, "event") if function == "ingest"),
    ):
        surface.send(Sent("POST", f"/function/{function}{path}", {}, GZIP, body))
    surface.check_memory()


@pytest.mark.slow
def test_process_batch_refuses_without_the_secret(surface: Surface) -> None:
    """process-batch takes nothing from an outsider, in any form."""
    event = json.dumps(EXAMPLES[0])
    for media_type, body in (
        ("application/json", event),
        ("application/x-ndjson", event),
        ("application/cloudevents-batch+json", json.dumps(cloud_events(EXAMPLES))),
        ("application/cloudevents+json", json.dumps(cloud_events(EXAMPLES)[0])),
        ("application/json", "no json"),
    ):
        answer = surface.client.post(
            "/function/process-batch/", content=body, headers={"Content-Type": media_type}
        )
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"


def schemathesis(surface: Surface, folder: Path, *options: str) -> None:
    """Let schemathesis make up requests from ingest's document and compare each answer with it."""
    address = surface.up.gateway + "/function/ingest"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        address + "/openapi.json",
        f"--url={address}",
        "--seed=1",
        "--generation-deterministic",
        "--checks=all",
        # JSON Schema knows neither calendar nor clock, and an array with one valid event is taken;
        # test_schema_and_validator.py compares events one by one
        "--exclude-checks=positive_data_acceptance,negative_data_rejection",
        "--suppress-health-check=all",
        "--no-color",
        *options,
    ]
    run = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    surface.check_memory()


@pytest.mark.slow
def test_ingest_keeps_its_document(surface: Surface, tmp_path: Path) -> None:
    """Schemathesis runs against a real ingest, shortly."""
    schemathesis(surface, tmp_path, "--phases=examples,fuzzing", "--max-examples=2")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ingest_keeps_its_document_at_length(surface: Surface, tmp_path: Path) -> None:
    """The same with every phase and more examples."""
    schemathesis(surface, tmp_path, "--phases=examples,coverage,fuzzing", "--max-examples=200")
