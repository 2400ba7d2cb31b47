"""Runs the report of a request: checks the parameters, uses the cache, returns the response."""

import functools
import time

import flask
from psycopg import DataError

from functions.common.http.cacheable import respond
from functions.common.http.wsgi import to_response
from functions.common.json_text import to_json

from .. import database, metrics
from ..errors import UnsupportedQueryError
from ..problems import invalid_parameter
from ..query.filters import QueryParameters
from ..reports.compute import compute
from ..reports.events import EventsQuery
from ..reports.report import Report
from ..settings import settings
from ..workspace.shares import Limits, check_included, limited
from .export import export_response, requested_format
from .parameters import parse
from .report_cache import CachedReport, ReportCache, cached_report


@functools.cache
def _cache() -> ReportCache:
    return ReportCache(settings().report_cache_bytes)


def _compute(report: Report, query: QueryParameters, limits: Limits | None) -> CachedReport:
    key = f"{limits.id if limits else ''} {report.name}?{query.model_dump_json()}"
    if report.age is not None:
        key += f" {time.time() // report.age.total_seconds():.0f}"
    with database.snapshot() as snapshot:
        version = snapshot.version()
        cached = _cache().get(key, version)
        if cached is not None:
            metrics.CACHE_HITS.labels(report.name).inc()
            return cached
        with metrics.REPORT_SECONDS.labels(report.name).time():
            response = compute(snapshot, report, query)
    if limits is not None and "leftOut" in response:
        response["leftOut"] = None  # it is what the filters do not let through
    computed = cached_report(to_json(response), version)
    _cache().put(key, computed)
    return computed


def run_report(
    report: Report, request: flask.Request, limits: Limits | None = None
) -> flask.Response:
    """Return the response to a request for a report.

    Args:
        report: which one.
        request: what is asked.
        limits: of the link that asks; None: it is asked with a key.

    Raises:
        RequestRefusedError: 422, a parameter is wrong or not supported; 403, the link is limited.
        DatabaseUnavailableError: no connection, or it was lost.
        QueryTimeoutError: a statement took longer than the statement timeout.
    """
    if limits is not None:
        check_included(report.name)
    query = parse(report.query, request.args)
    if limits is not None:
        query = limited(query, limits)
    try:
        if isinstance(query, EventsQuery) and (form := requested_format(query, request)):
            return export_response(query, form)
        computed = _compute(report, query, limits)
    except DataError as error:
        message = f"The database cannot search for this value: {error.diag.message_primary}"
        raise invalid_parameter("where", message, "invalid_value") from error
    except UnsupportedQueryError as error:
        raise invalid_parameter(error.parameter, error.detail, "unsupported_query") from error
    return to_response(respond(computed.response, request.headers))
