"""The function analytics-query: reports over HTTP, their contract, the dashboard page."""

import logging

import flask

from functions.common import logs
from functions.common.errors import (
    DatabaseUnavailableError,
    QueryTimeoutError,
    RequestRefusedError,
)
from functions.common.http import wsgi
from functions.common.http.front_door import Checks, FrontDoor

from . import metrics
from .access import authenticate
from .database import fault
from .reports import REPORTS
from .web import pages
from .web.run_report import run_report

logs.configure("analytics-query")
logger = logging.getLogger(__name__)

REPORT_ROUTES = {f"/analytics/{name}": report for name, report in REPORTS.items()}
RETRY_AFTER = 2
"""Seconds after which a caller should try again while the database is unavailable."""


def find_route(path: str) -> str | None:
    """Return the route of a path, None where there is none."""
    return path if path in REPORT_ROUTES else pages.route(path)


def check_database() -> Checks:
    """Return what is wrong with the database."""
    return {"database": fault()}


FRONT_DOOR = FrontDoor(
    metrics.REQUESTS,
    metrics.REQUEST_SECONDS,
    find_route=find_route,
    methods=("GET", "HEAD"),
    hint="/api lists what there is.",
    info_routes=REPORT_ROUTES,
)


@wsgi.serve(FRONT_DOOR, check_database)
def handle(request: flask.Request) -> flask.Response:
    """Return a report or a page.

    Raises:
        RequestRefusedError: the caller is not authenticated, a parameter is wrong, the report takes
            too long, or the database is unavailable.
    """
    report = REPORT_ROUTES.get(request.path)
    if report is None:
        route = pages.route(request.path)
        assert route is not None
        return pages.page(route, request)
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
