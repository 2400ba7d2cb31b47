"""One module per report: its query parameters, its response, how it is computed."""

from . import (
    campaigns,
    countries,
    demographics,
    events,
    funnel,
    live,
    overview,
    retention,
    revenue,
    spend,
    steps,
    timeseries,
    users,
)
from .report import Report

REPORTS: dict[str, Report] = {
    module.REPORT.name: module.REPORT
    for module in (
        overview,
        timeseries,
        funnel,
        countries,
        campaigns,
        users,
        revenue,
        demographics,
        steps,
        retention,
        live,
        spend,
        events,
    )
}
