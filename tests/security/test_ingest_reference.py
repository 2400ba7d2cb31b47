"""Section 3: ingest has a reference, and every promise in it is kept by a running ingest."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import validate

from functions.common.events import SOURCES
from functions.common.http import swagger_ui
from functions.common.paths import ROOT
from functions.ingest.api import schemas
from functions.ingest.settings import IngestSettings
from infra.local.servers.nats import EmbeddedNats
from tests.support.functions import Function, running
from tests.support.prefix_proxy import mounted

PROBLEM = "application/problem+json"
EXAMPLES = [(name, event) for name in SOURCES for event in schemas.examples(name)]


@pytest.fixture(scope="module")
def live(ingest: Function) -> Iterator[httpx.Client]:
    """A client of a running ingest that asks for no key."""
    with httpx.Client(base_url=ingest.url, timeout=60, verify=False) as client:
        yield client


@pytest.fixture(scope="module")
def document(live: httpx.Client) -> dict[str, Any]:
    answer = live.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


def event_types(schema: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the stages and types of a source's events, from its schema."""
    found: set[tuple[str, str]] = set()
    for branch in schema["oneOf"]:
        fields = schema["$defs"][branch["$ref"].rpartition("/")[2]]["properties"]
        stage, kinds = fields["funnelStage"]["const"], fields["eventType"]
        found |= {(stage, kind) for kind in kinds.get("enum", [kinds.get("const")])}
    return found


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    """OpenAPI 3.1 at `/openapi.json`."""
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert "/webhook/event" in document["paths"]
    titles = document["components"]["schemas"]
    assert [schema["title"] for schema in titles.values()] == list(titles), "one name, one schema"


def test_there_is_an_example_of_each_event_type(document: dict[str, Any]) -> None:
    """An example of each event type of every source, in the document and in the schemas."""
    body = document["paths"]["/webhook/event"]["post"]["requestBody"]["content"]
    shown = [each["value"] for each in body["application/json"]["examples"].values()]
    for name in SOURCES:
        schema = schemas.source_schema(name)
        assert {(each["funnelStage"], each["eventType"]) for each in schema["examples"]} == (
            event_types(schema)
        )
        assert all(each["source"] == name and each in shown for each in schema["examples"])


@pytest.mark.parametrize(
    ("source", "event"), EXAMPLES, ids=[f"{name}-{event['eventType']}" for name, event in EXAMPLES]
)
def test_every_example_is_taken(live: httpx.Client, source: str, event: dict[str, Any]) -> None:
    """A test posts every example and gets 202."""
    answer = live.post("/webhook/event", json=event)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    schema = live.get(f"/schemas/{source}.json").json()
    jsonschema.Draft202012Validator(schema).validate(event)


def test_examples_of_the_document_are_taken_as_they_are(
    live: httpx.Client, document: dict[str, Any]
) -> None:
    """The same for the examples that hold several events, as an array and as lines."""
    operation = document["paths"]["/webhook/event"]["post"]
    for media_type, content in operation["requestBody"]["content"].items():
        for example in content["examples"].values():
            value = example["value"]
            body = value if isinstance(value, str) else json.dumps(value)
            answer = live.post("/webhook/event", content=body, headers={"Content-Type": media_type})
            assert (answer.status_code, answer.json()["rejected"]) == (202, [])


@pytest.mark.parametrize("source", SOURCES)
def test_schemas_are_json_schema_2020_12(live: httpx.Client, source: str) -> None:
    """`GET /schemas/<source>.json` is JSON Schema, and its examples are valid by it."""
    answer = live.get(f"/schemas/{source}.json")
    assert answer.headers["content-type"] == "application/schema+json"
    schema = answer.json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for example in schema["examples"]:
        validator.validate(example)
    assert list(validator.iter_errors({"source": source}))
    again = live.get(f"/schemas/{source}.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_source_that_is_none_has_no_schema(live: httpx.Client) -> None:
    """`/schemas/` leads to no other file."""
    for name in ("myspace", "..%2Fhandler", "%2e%2e/%2e%2e/openapi", "event"):
        answer = live.get(f"/schemas/{name}.json")
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


ERRORS = [
    (b"", {}, 400),
    (b"\xff", {}, 400),
    (b'{"eventId": "\xff"}', {}, 400),
    (b'[{"eventId": "\xff"}]', {}, 400),
    (b"{}", {"Content-Encoding": "gzip"}, 400),
    (b" " * (8 * 1024**2 + 1), {}, 413),
    (b"<event/>", {"Content-Type": "application/xml"}, 415),
    (b"{}", {"Content-Encoding": "br"}, 415),
    (b"[{}, 1]", {}, 422),
]


@pytest.mark.parametrize(("body", "headers", "status"), ERRORS)
def test_errors_are_as_the_document_says(
    live: httpx.Client,
    document: dict[str, Any],
    body: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    """Every error is problem+json with its status, and the document has it."""
    headers = {"Content-Type": "application/json", **headers}
    answer = live.post("/webhook/event", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    check_answer(document, "post", answer)


def check_answer(document: dict[str, Any], method: str, answer: httpx.Response) -> None:
    """Check that an answer of `/webhook/event` is one that the document describes."""
    operation = document["paths"]["/webhook/event"][method]
    reference = operation["responses"][str(answer.status_code)]["$ref"]
    response = document["components"]["responses"][reference.rpartition("/")[2]]
    media_type = answer.headers["content-type"]
    schema = response["content"][media_type]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(
        answer.json()
    )
    for name, header in response["headers"].items():
        assert name in answer.headers or not header.get("required")


def test_405_names_the_methods_of_each_route(live: httpx.Client, document: dict[str, Any]) -> None:
    """405 and `Allow` by route."""
    for path, allowed in (
        ("/webhook/event", "POST"),
        ("/", "POST"),
        ("/openapi.json", "GET, HEAD"),
        ("/api", "GET, HEAD"),
        ("/schemas/facebook.json", "GET, HEAD"),
    ):
        answer = live.delete(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    check_answer(document, "post", live.put("/webhook/event"))
    series = 'universe_ingest_requests_total{route="/openapi.json",status="405"}'
    assert series in live.get("/metrics").text


def test_the_document_says_which_key_is_needed(
    session_nats: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The API key is a security scheme, and the reference is open where the door has a key."""
    folder = tmp_path_factory.mktemp("ingest")
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "ingest-api-key").write_text("open sesame\n")
    with (
        running(
            "functions.ingest.handler",
            folder / "log",
            NATS_URL=session_nats.url,
            SECRETS_DIR=str(secrets),
            MAX_BODY_BYTES="5000",
        ) as function,
        httpx.Client(base_url=function.url, timeout=60, verify=False) as client,
    ):
        for path in ("/openapi.json", "/api", "/schemas/tiktok.json", "/assets/swagger.js"):
            assert client.get(path).status_code == 200
        document = client.get("/openapi.json").json()
        operation = document["paths"]["/webhook/event"]["post"]
        assert operation["security"] == [{"apiKey": []}, {"bearer": []}]
        scheme = document["components"]["securitySchemes"]["apiKey"]
        assert (scheme["in"], scheme["name"]) == ("header", "X-Api-Key")
        event = EXAMPLES[0][1]
        refused = client.post("/webhook/event", json=event)
        assert refused.status_code == 401
        check_answer(document, "post", refused)
        for headers in ({"X-Api-Key": "open sesame"}, {"Authorization": "Bearer open sesame"}):
            assert client.post("/webhook/event", json=event, headers=headers).status_code == 202
        assert document["info"]["x-limits"]["MAX_BODY_BYTES"] == 5000
        assert "| `MAX_BODY_BYTES` | 5,000 |" in document["info"]["description"]
        key = {"X-Api-Key": "open sesame"}
        assert client.post("/webhook/event", content=b" " * 5001, headers=key).status_code == 413


def test_limits_are_in_the_document(document: dict[str, Any]) -> None:
    """Limits, with the values that hold."""
    limits, defaults = document["info"]["x-limits"], IngestSettings()
    assert limits["MAX_EVENTS"] == defaults.max_events
    body = document["paths"]["/webhook/event"]["post"]["requestBody"]
    array = body["content"]["application/json"]["schema"]["oneOf"][1]
    assert array["maxItems"] == defaults.max_events


def test_swagger_ui_needs_no_other_host(live: httpx.Client) -> None:
    """Swagger UI at `/api`, without internet and below any path prefix, with a policy."""
    with (
        mounted(str(live.base_url).rstrip("/"), "/function/ingest") as url,
        httpx.Client(verify=False, timeout=30, follow_redirects=True) as client,
    ):
        page = client.get(url + "/api/")
        assert str(page.url) == url + "/api"
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'self'" in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "//" not in page.text.replace("</", "")
        for link in swagger_ui.FILE_NAMES:
            assert f'"assets/{link}"' in page.text
            packed = client.get(f"{url}/assets/{link}", headers={"Accept-Encoding": "gzip"})
            assert packed.status_code == 200
            plain = client.get(
                f"{url}/assets/{link}", headers={"Accept-Encoding": "identity, gzip;q=0"}
            )
            assert "content-encoding" not in plain.headers
            assert plain.content == packed.content
        assert client.get(url + "/openapi.json").json()["servers"][0]["url"] == "."


def test_the_reference_does_not_slow_the_start() -> None:
    """Importing OpenAPI must not slow ingest's cold start: it is made at the first request."""
    script = "import sys, functions.ingest.handler; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "INGEST_AUTH": "none"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(run.stdout.split())
    assert "functions.ingest.handler" in loaded
    assert (
        not {
            "functions.ingest.api.openapi",
            "functions.ingest.api.schemas",
            "functions.common.http.openapi",
            "flask_openapi3",
            "flask_openapi3_swagger",
            "flask",
        }
        & loaded
    )
