"""The function analytics-query: reports over HTTP, their contract, the dashboard page."""

import logging
import time

import flask
from prometheus_client import Counter, Histogram

from functions.common import health, logs, metrics
from functions.common.correlation import CALL_ID, CALL_ID_HEADER, call_id_from

from .access import API_KEY_HEADER, allowed
from .database import DatabaseAway, TooSlow, ping
from .problems import problem_response
from .reports import REPORTS
from .web import pages
from .web.run_report import run_report

logs.configure("analytics-query")
log = logging.getLogger(__name__)

REQUESTS = Counter(
    "universe_analytics_query_requests_total", "Requests answered", ["route", "status"]
)
REQUEST_SECONDS = Histogram(
    "universe_analytics_query_request_seconds",
    "Time from a request's arrival to its answer; an export's rows come after that",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
ANALYTICS = "/analytics/"
OPERATIONS = (health.LIVENESS, health.READINESS, health.METRICS)


def handle(request: flask.Request) -> flask.Response:
    """Answer one request."""
    call_id = call_id_from(dict(request.headers))
    CALL_ID.set(call_id)
    started = time.perf_counter()
    route = _route(request.path)
    try:
        response = _answer(request, route)
    except TooSlow:
        response = problem_response(
            503,
            "The report took longer than the time limit. Ask for a shorter range, fewer details "
            "or, with exact=true, for an estimate.",
            title="Report took too long",
        )
    except DatabaseAway as error:
        log.warning("database is away: %s", error)
        response = problem_response(
            503, "The database cannot be reached now. Try again soon.", {"Retry-After": "2"}
        )
    except Exception:
        log.exception("request failed")
        response = problem_response(
            500, f"Something failed inside. The log has the details under {call_id}."
        )
    response.headers[CALL_ID_HEADER] = call_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    seconds = time.perf_counter() - started
    REQUESTS.labels(route, response.status_code).inc()
    if route not in OPERATIONS:
        REQUEST_SECONDS.observe(seconds)
    log.log(
        logging.INFO if route.startswith(ANALYTICS) else logging.DEBUG,
        "answered",
        extra={
            "path": request.path,
            "query": request.query_string.decode("utf-8", "replace")[:1000],
            "status": response.status_code,
            "seconds": round(seconds, 6),
        },
    )
    return response


def _route(path: str) -> str:
    """Name what is asked for, one of a few names."""
    if path.startswith(ANALYTICS):
        return path if path.removeprefix(ANALYTICS) in REPORTS else "unknown"
    if path in OPERATIONS:
        return path
    return pages.route(path) or "unknown"


def _answer(request: flask.Request, route: str) -> flask.Response:
    if refusal := _refusal(request, route):
        return refusal
    if route.startswith(ANALYTICS):
        return run_report(REPORTS[route.removeprefix(ANALYTICS)], request)
    if route == health.METRICS:
        body, content_type = metrics.render()
        return flask.Response(body, content_type=content_type)
    if route.startswith("/health/"):
        status, body = health.report({"database": ping()} if route == health.READINESS else {})
        return flask.Response(body, status, mimetype=health.JSON)
    return pages.page(route, request)


def _refusal(request: flask.Request, route: str) -> flask.Response | None:
    """Return why a request is not answered, None where it is."""
    if route == "unknown":
        return problem_response(404, f"There is nothing at {request.path}. /api has what there is.")
    if request.method not in ("GET", "HEAD"):
        return problem_response(
            405, f"{request.path} answers GET and HEAD only.", {"Allow": "GET, HEAD"}
        )
    if route.startswith(ANALYTICS) and not allowed(request):
        return problem_response(
            401, f"Send the API key in the header {API_KEY_HEADER}.", {"WWW-Authenticate": "Bearer"}
        )
    return None
