"""The function analytics-query: reports over HTTP, their contract, the dashboard page."""

import logging
from functools import partial

import flask

from functions.common import logs
from functions.common.errors import (
    DatabaseUnavailableError,
    QueryTimeoutError,
    RequestRefusedError,
)
from functions.common.health import Checks
from functions.common.http import wsgi
from functions.common.http.front_door import READ_METHODS, FrontDoor, Route

from . import metrics
from .access import authenticate, check_settings
from .database import fault
from .reports import REPORTS
from .reports.report import Report
from .web import pages
from .web.run_report import run_report

logs.configure("analytics-query")
logger = logging.getLogger(__name__)
check_settings()

RETRY_AFTER = 2
"""Seconds after which a caller should try again while the database is unavailable."""


def check_database() -> Checks:
    """Return what is wrong with the database."""
    return {"database": fault()}


def respond(report: Report, request: flask.Request) -> flask.Response:
    """Return a report.

    Raises:
        RequestRefusedError: the caller is not authenticated, a parameter is wrong, the report takes
            too long, or the database is unavailable.
    """
    authenticate(request)
    try:
        return run_report(report, request)
    except QueryTimeoutError as error:
        raise RequestRefusedError(
            503,
            "The report took longer than the time limit. Ask for a shorter range, fewer details "
            "or, with exact=true, for an estimate.",
            title="Report took too long",
        ) from error
    except DatabaseUnavailableError as error:
        logger.warning("database unavailable: %s", error)
        raise RequestRefusedError(
            503, "The database cannot be reached now. Try again soon.", retry_after=RETRY_AFTER
        ) from error


REPORT_ROUTES: dict[str, Route[wsgi.Handler]] = {
    f"/analytics/{name}": Route(READ_METHODS, partial(respond, report), logging.INFO)
    for name, report in REPORTS.items()
}
FRONT_DOOR = FrontDoor(
    metrics.REQUESTS,
    metrics.REQUEST_SECONDS,
    refused=metrics.CREDENTIALS_REFUSED,
    routes={**REPORT_ROUTES, **pages.ROUTES},
    find_route=pages.find_route,
    hint="/api lists what there is.",
)
handle = wsgi.serve(FRONT_DOOR, check_database)
