"""The function analytics-query: reports over HTTP, what is kept beside events, contract, page."""

import logging
from functools import partial

import flask

from functions.common import logs
from functions.common.health import Checks
from functions.common.http import wsgi
from functions.common.http.front_door import READ_METHODS, FrontDoor, Route

from . import metrics
from .access import authenticate, check_settings
from .database import fault
from .problems import refusals
from .reports import REPORTS
from .reports.report import Report
from .web import pages
from .web.run_report import run_report
from .workspace import WRITES, shares
from .workspace.write import perform

logs.configure("analytics-query")
check_settings()

TOO_LONG = (
    "The report took longer than the time limit. Ask for a shorter range, fewer details "
    "or, with exact=true, for an estimate."
)


def check_database() -> Checks:
    """Return what is wrong with the database."""
    return {"database": fault()}


def respond(report: Report, request: flask.Request) -> flask.Response:
    """Return a report.

    Raises:
        RequestRefusedError: the caller is not authenticated, a parameter is wrong, the report takes
            too long, or the database is unavailable.
    """
    token = request.headers.get(shares.TOKEN_HEADER)
    if token is None:
        authenticate(request)
    with refusals(TOO_LONG, "Report took too long"):
        return run_report(report, request, None if token is None else shares.limits_by(token))


def analytics_routes() -> dict[str, Route[wsgi.Handler]]:
    """Return the routes of reports and of what writes, which may have a path in common."""
    handlers: dict[str, dict[str, wsgi.Handler]] = {
        name: dict.fromkeys(READ_METHODS, partial(respond, report))
        for name, report in REPORTS.items()
    }
    for write in WRITES:
        handlers.setdefault(write.name, {})[write.method] = partial(perform, write)
    return {
        f"/analytics/{name}": Route(tuple(by_method), partial(_by_method, by_method), logging.INFO)
        for name, by_method in handlers.items()
    }


def _by_method(handlers: dict[str, wsgi.Handler], request: flask.Request) -> flask.Response:
    return handlers[request.method](request)


FRONT_DOOR = FrontDoor(
    metrics.REQUESTS,
    metrics.REQUEST_SECONDS,
    refused=metrics.CREDENTIALS_REFUSED,
    routes={**analytics_routes(), **pages.ROUTES},
    find_route=pages.find_route,
    hint="/api lists what there is.",
)
handle = wsgi.serve(FRONT_DOOR, check_database)
