"""Answers a question: checks its parameters, computes or remembers the report."""

import functools
from typing import Any

import flask
from prometheus_client import Counter, Histogram
from psycopg import DataError
from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from ..database import snapshot
from ..errors import UnsupportedQueryError
from ..formatting import to_json
from ..problems import faults_of, invalid
from ..query.filters import Query
from ..reports.events import EventsQuery
from ..reports.report import Report
from ..settings import settings
from .export import stream, wanted_format
from .http_response import send
from .report_cache import Answer, AnswerCache, answer

SECONDS = Histogram(
    "universe_analytics_query_report_seconds",
    "Time to compute a report, its queries included",
    ["report"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REMEMBERED = Counter(
    "universe_analytics_query_remembered_total",
    "Reports answered without computing them again",
    ["report"],
)


@functools.cache
def _cache() -> AnswerCache:
    return AnswerCache(settings().answer_cache_bytes)


def parse(query: type[Query], args: MultiDict[str, str]) -> Query | flask.Response:
    """Return a request's parameters, or the answer that tells what is wrong with them."""
    twice = [name for name, values in args.lists() if len(values) > 1]
    if twice:
        return invalid(
            [{"parameter": n, "message": "Given more than once", "type": "twice"} for n in twice]
        )
    try:
        return query.model_validate(args.to_dict())
    except ValidationError as error:
        return invalid(faults_of(error))


def _compute(report: Report, query: Query) -> Answer:
    question = f"{report.name}?{query.model_dump_json()}"
    with snapshot() as now:
        version = now.version()
        kept = _cache().get(question, version)
        if kept is not None:
            REMEMBERED.labels(report.name).inc()
            return kept
        with SECONDS.labels(report.name).time():
            computed: Any = report.compute(now, query)
    result = answer(to_json(computed), version)
    _cache().put(question, result)
    return result


def run_report(report: Report, request: flask.Request) -> flask.Response:
    """Answer a request for a report."""
    query = parse(report.query, request.args)
    if isinstance(query, flask.Response):
        return query
    try:
        if isinstance(query, EventsQuery) and (form := wanted_format(query, request)):
            return stream(query, form)
        computed = _compute(report, query)
    except DataError as error:
        message = f"The database cannot look for it: {error.diag.message_primary}"
        return invalid([{"parameter": "where", "message": message, "type": "unsearchable"}])
    except UnsupportedQueryError as error:
        return invalid(
            [{"parameter": error.parameter, "message": error.detail, "type": "unanswerable"}]
        )
    return send(computed.body, computed.compressed, computed.etag, request, "application/json")
