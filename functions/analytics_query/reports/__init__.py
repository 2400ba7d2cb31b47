"""One module per report: its query parameters, its response, how it is computed."""

from . import (
    alerts,
    annotations,
    attribution,
    breakdown,
    campaigns,
    countries,
    demographics,
    economics,
    events,
    funnel,
    live,
    overview,
    properties,
    retention,
    revenue,
    shares,
    spend,
    steps,
    timeseries,
    users,
    views,
)
from .report import Report

REPORTS: dict[str, Report] = {
    report.name: report
    for report in (
        overview.REPORT,
        timeseries.REPORT,
        funnel.REPORT,
        countries.REPORT,
        campaigns.REPORT,
        users.REPORT,
        revenue.REPORT,
        demographics.REPORT,
        breakdown.REPORT,
        steps.REPORT,
        retention.REPORT,
        live.REPORT,
        spend.REPORT,
        economics.REPORT,
        attribution.REPORT,
        views.REPORT,
        annotations.REPORT,
        shares.REPORT,
        shares.THIS,
        alerts.REPORT,
        properties.PROPERTIES,
        properties.REPORT,
        events.REPORT,
    )
}
