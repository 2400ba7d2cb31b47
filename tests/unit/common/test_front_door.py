"""What the front door answers before, around and after a handler's own work."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import flask
import pytest
from prometheus_client import REGISTRY, Counter, Histogram
from werkzeug.test import EnvironBuilder

from functions.common.correlation import CALL_ID
from functions.common.errors import CredentialsRefusedError, RequestRefusedError
from functions.common.health import Checks
from functions.common.http import asgi, wsgi
from functions.common.http.asgi import Request
from functions.common.http.front_door import FrontDoor, RawResponse, Route

Serve = Callable[..., tuple[int, dict[str, str], bytes]]
"""Sends a request (method, path, headers); returns status, headers in lower case, and body."""


def work(path: str) -> tuple[int, bytes]:
    if path == "/refused":
        raise RequestRefusedError(409, "Not now.", title="Busy", retry_after=3, seen=[1])
    if path == "/closed":
        raise CredentialsRefusedError("expired", "Too old.", challenge="Bearer")
    if path == "/broken":
        raise ZeroDivisionError("the secret cause")
    return 202, CALL_ID.get().encode()


HandlerT = TypeVar("HandlerT")


def new_door(handler: HandlerT) -> FrontDoor[HandlerT]:
    return FrontDoor(
        Counter("test_requests_total", "Requests", ["route", "status"]),
        Histogram("test_request_seconds", "Seconds"),
        refused=Counter("test_credentials_refused_total", "Refused", ["route", "fault"]),
        routes={
            "/": Route(("POST",), handler, logging.INFO),
            "/refused": Route(("POST",), handler),
            "/broken": Route(("POST",), handler),
            "/closed": Route(("POST",), handler),
            "/either": Route(("GET", "POST"), handler),
        },
        find_route=lambda path: path.removesuffix("/x"),
        hint="Try /.",
    )


def served_by_asgi(checks: Checks) -> Serve:
    async def check() -> Checks:
        return checks

    async def handler(request: Request) -> RawResponse:
        status, body = work(request.path)
        return RawResponse(status, body, "text/plain")

    application = asgi.serve(new_door(handler), check)

    def send(method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"parameter-name=b",
            "headers": [
                (k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()
            ],
        }
        return asyncio.run(respond(application, scope))

    return send


async def respond(
    application: asgi.Application, scope: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, body = sent
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(headers) == len(start["headers"])
    assert headers["content-length"] == str(len(body["body"]))
    return start["status"], headers, body["body"]


def served_by_wsgi(checks: Checks) -> Serve:
    def handler(request: flask.Request) -> flask.Response:
        status, body = work(request.path)
        return flask.Response(body, status)

    handle = wsgi.serve(new_door(handler), lambda: checks)

    def send(method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        builder = EnvironBuilder(
            path, method=method, headers=[*named.items()], query_string="parameter-name=b"
        )
        response = handle(flask.Request(builder.get_environ()))
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status_code, found, response.get_data()

    return send


@pytest.fixture(params=[served_by_asgi, served_by_wsgi])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[[Checks], Serve]]:
    before = set(REGISTRY._collector_to_names)
    yield request.param
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


def problem_of(answer: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-call-id"]
    problem = json.loads(body)
    assert problem["status"] == status
    return problem


def test_refused_credentials_are_counted_by_route_and_fault(serve: Any) -> None:
    send = serve({})
    answer = send("POST", "/closed")
    assert answer[0] == 401
    assert answer[1]["www-authenticate"] == "Bearer"
    assert problem_of(answer)["detail"] == "Too old."
    send("POST", "/refused")  # for another reason
    labels = {"route": "/closed", "fault": "expired"}
    assert REGISTRY.get_sample_value("test_credentials_refused_total", labels) == 1
    refused = [
        sample
        for metric in REGISTRY.collect()
        if metric.name == "test_credentials_refused"
        for sample in metric.samples
        if sample.name.endswith("_total")
    ]
    assert len(refused) == 1


def test_the_handler_works_under_the_caller_s_correlation_id(serve: Any) -> None:
    send = serve({})
    status, headers, body = send("POST", "/", X_Call_Id="call-1")
    assert (status, body) == (202, b"call-1")
    assert headers["x-call-id"] == "call-1"
    assert headers["x-content-type-options"] == "nosniff"
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert send("POST", "/", traceparent=trace)[2] == b"4bf92f3577b34da6a3ce929d0e0e4736"
    first, second = (send("POST", "/")[2] for _ in range(2))
    assert len(first) == len(second) == 32
    assert first != second


def test_what_leads_nowhere(serve: Any) -> None:
    send = serve({})
    problem = problem_of(send("POST", "/nothing"))
    assert (problem["status"], problem["title"]) == (404, "Not Found")
    assert problem["detail"] == "There is nothing at /nothing. Try /."
    answer = send("GET", "/")
    assert problem_of(answer)["status"] == 405
    assert answer[1]["allow"] == "POST"
    answer = send("POST", "/metrics")
    assert problem_of(answer)["status"] == 405
    assert answer[1]["allow"] == "GET, HEAD"


def test_methods_differ_by_route(serve: Any) -> None:
    send = serve({})
    assert send("GET", "/either/x")[0] == 202
    assert send("POST", "/either")[0] == 202
    answer = send("DELETE", "/either")
    problem = problem_of(answer)
    assert problem["status"] == 405
    assert problem["detail"] == "DELETE is not supported here: use GET or POST."
    assert answer[1]["allow"] == "GET, POST"
    text = send("GET", "/metrics")[2].decode()
    assert 'test_requests_total{route="/either",status="202"} 2.0' in text
    assert 'test_requests_total{route="/either",status="405"} 1.0' in text


def test_a_refusal_is_answered_as_it_says(serve: Any) -> None:
    answer = serve({})("POST", "/refused")
    assert problem_of(answer) == {
        "type": "about:blank",
        "title": "Busy",
        "status": 409,
        "detail": "Not now.",
        "seen": [1],
    }
    assert answer[1]["retry-after"] == "3"


def test_an_unexpected_error_is_logged_and_not_told(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = serve({})("POST", "/broken", X_Call_Id="call-9")
    problem = problem_of(answer)
    assert problem["status"] == 500
    assert "call-9" in problem["detail"]
    assert "secret" not in answer[2].decode()
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_health_and_metrics(serve: Any) -> None:
    send = serve({"broker": None, "database": "away"})
    status, headers, body = send("GET", "/health/liveness")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers["content-type"] == "application/json"
    status, _, body = send("GET", "/health/readiness/")
    assert (status, json.loads(body)) == (
        503,
        {"status": "unavailable", "checks": {"broker": "ok", "database": "away"}},
    )
    send("POST", "/")
    send("POST", "/nothing")
    status, headers, body = send("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    text = body.decode()
    for route, code in (("/", 202), ("unknown", 404), ("/health/readiness", 503)):
        series = f'test_requests_total{{route="{route}",status="{code}"}} 1.0'
        assert series in text
    assert "test_request_seconds_count 2.0" in text


def test_requests_are_logged(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    send = serve({})
    send("POST", "/")
    send("POST", "/refused")
    served = [each for each in caplog.records if each.message == "request served"]
    assert [each.levelno for each in served] == [logging.INFO, logging.DEBUG]
    fields = served[0].__dict__
    assert (fields["method"], fields["route"], fields["status"]) == ("POST", "/", 202)
    assert "parameter-name" not in str(fields)
