"""The report at the end of the demo, from the analytics API."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.columns import Columns
from rich.console import Console
from rich.table import Table

from infra.cli.load.sender import Summary

ReportJson = dict[str, Any]


@dataclass(frozen=True)
class Reports:
    """Reports of the analytics API."""

    overview: ReportJson
    funnel: ReportJson
    countries: ReportJson


@dataclass(frozen=True)
class DemoResult:
    """The results of a demo.

    Attributes:
        sent: what was sent.
        seconds: from the first event sent to the last one stored.
        reports: the reports afterwards.
        dead_letters: the number of dead letters by reason.
    """

    sent: Summary
    seconds: float
    reports: Reports
    dead_letters: Counter[str]


async def fetch_reports(session: aiohttp.ClientSession, base_url: str) -> Reports:
    """Return the reports of the analytics API at `base_url`.

    Raises:
        aiohttp.ClientError: it does not respond.
    """

    async def get(path: str) -> ReportJson:
        async with session.get(f"{base_url}/analytics/{path}") as response:
            return await response.json()

    return Reports(await get("overview"), await get("funnel"), await get("countries?limit=8"))


def print_report(console: Console, result: DemoResult) -> None:
    """Print the report."""
    sent, reports = result.sent, result.reports
    overview = reports.overview
    totals = overview["totals"]
    console.rule("[bold]Universe[/bold]")
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("sent", f"{sent.sent:,} events, {sent.kinds['duplicate']:,} of them duplicates"),
        ("accepted", f"{sent.accepted:,}"),
        ("rejected", f"{sent.rejected:,}"),
        ("stored in total", f"{totals['events']:,} by {totals['uniqueUsers']:,} users"),
        ("total revenue", totals["revenue"]),
        ("sending", f"{sent.per_second:,.0f} events/s"),
        (
            "sending to stored",
            f"{sent.sent / result.seconds:,.0f} events/s, {result.seconds:.1f} s from the first "
            "request to the last row, cold starts included",
        ),
    ):
        summary.add_row(name, f"[bold]{value}[/bold]")
    console.print(summary)
    console.print(Columns([_by_type(overview), _funnel(reports.funnel)], padding=(0, 4)))
    console.print(
        Columns(
            [_countries(result.reports.countries), _dead_letters(result.dead_letters)],
            padding=(0, 4),
        )
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _by_type(overview: ReportJson) -> Table:
    table = _table("Events by source and type", "source", "type", "events", "revenue")
    for row in overview["byEventType"]:
        table.add_row(row["source"], row["eventType"], f"{row['events']:,}", row["revenue"])
    return table


def _funnel(funnel: ReportJson) -> Table:
    table = _table("Funnel", "source", "top", "bottom", "click-through")
    for name, row in [("all", funnel), *((each["source"], each) for each in funnel["bySource"])]:
        rate = row["clickThroughRate"]
        percent = "-" if rate is None else f"{float(rate):.1%}"
        table.add_row(name, f"{row['top']:,}", f"{row['bottom']:,}", percent)
    return table


def _countries(countries: ReportJson) -> Table:
    table = _table("Top countries", "country", "events", "revenue")
    for row in countries["items"][:8]:
        table.add_row(row["country"], f"{row['events']:,}", row["revenue"])
    return table


def _dead_letters(reasons: Counter[str]) -> Table:
    table = _table("Rejected, and why", "reason", "events")
    for reason, count in reasons.most_common(12):
        table.add_row(reason, f"{count:,}")
    return table
