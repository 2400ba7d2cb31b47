"""Runs the report of a request: checks the parameters, uses the cache, returns the response."""

import functools
from typing import Any

import flask
from prometheus_client import Counter, Histogram
from psycopg import DataError
from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from .. import database
from ..errors import UnsupportedQueryError
from ..formatting import to_json
from ..problems import faults_of, invalid
from ..query.filters import QueryParameters
from ..reports.events import EventsQuery
from ..reports.report import Report
from ..settings import settings
from .export import export_response, requested_format
from .http_response import cacheable_response
from .report_cache import CachedReport, ReportCache, cached_report

REPORT_SECONDS = Histogram(
    "universe_analytics_query_report_seconds",
    "Time to compute a report, including its queries",
    ["report"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CACHE_HITS = Counter(
    "universe_analytics_query_report_cache_hits_total",
    "Reports returned from the cache",
    ["report"],
)


@functools.cache
def _cache() -> ReportCache:
    return ReportCache(settings().report_cache_bytes)


def parse(
    query: type[QueryParameters], args: MultiDict[str, str]
) -> QueryParameters | flask.Response:
    """Return the parameters of a request, or a 422 response with what is wrong with them."""
    repeated = [name for name, values in args.lists() if len(values) > 1]
    if repeated:
        return invalid(
            [
                {"parameter": name, "message": "Given more than once", "type": "repeated"}
                for name in repeated
            ]
        )
    try:
        return query.model_validate(args.to_dict())
    except ValidationError as error:
        return invalid(faults_of(error))


def _compute(report: Report, query: QueryParameters) -> CachedReport:
    key = f"{report.name}?{query.model_dump_json()}"
    with database.snapshot() as snapshot:
        version = snapshot.version()
        cached = _cache().get(key, version)
        if cached is not None:
            CACHE_HITS.labels(report.name).inc()
            return cached
        with REPORT_SECONDS.labels(report.name).time():
            response: Any = report.compute(snapshot, query)
    computed = cached_report(to_json(response), version)
    _cache().put(key, computed)
    return computed


def run_report(report: Report, request: flask.Request) -> flask.Response:
    """Return the response to a request for a report."""
    query = parse(report.query, request.args)
    if isinstance(query, flask.Response):
        return query
    try:
        if isinstance(query, EventsQuery) and (form := requested_format(query, request)):
            return export_response(query, form)
        computed = _compute(report, query)
    except DataError as error:
        message = f"The database cannot search for this value: {error.diag.message_primary}"
        return invalid([{"parameter": "where", "message": message, "type": "invalid_value"}])
    except UnsupportedQueryError as error:
        return invalid(
            [{"parameter": error.parameter, "message": error.detail, "type": "unsupported_query"}]
        )
    return cacheable_response(
        computed.body, computed.compressed, computed.etag, request, "application/json"
    )
