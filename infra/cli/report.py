"""The report that the demo ends with, from the analytics API."""

from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.columns import Columns
from rich.console import Console
from rich.table import Table

from infra.cli.publish import Summary
from infra.cli.stream_state import DeadLetters

Answer = dict[str, Any]


@dataclass(frozen=True)
class Answers:
    """What the analytics API said."""

    overview: Answer
    funnel: Answer
    countries: Answer


@dataclass(frozen=True)
class Run:
    """What a run of the demo came to; `seconds` from the first event sent to the last stored."""

    sent: Summary
    seconds: float
    answers: Answers
    dead: DeadLetters


async def fetch(session: aiohttp.ClientSession, base: str) -> Answers:
    """Ask the analytics API at `base` for the reports.

    Raises:
        aiohttp.ClientError: it does not answer.
    """

    async def get(path: str) -> Answer:
        async with session.get(f"{base}/analytics/{path}") as response:
            return await response.json()

    return Answers(await get("overview"), await get("funnel"), await get("countries?limit=8"))


def print_report(console: Console, run: Run) -> None:
    """Print the report."""
    sent, overview = run.sent, run.answers.overview
    totals = overview["totals"]
    console.rule("[bold]Universe[/bold]")
    summary = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in (
        ("sent", f"{sent.sent:,} events, {sent.kinds['duplicate']:,} of them duplicates"),
        ("accepted", f"{sent.accepted:,}"),
        ("rejected", f"{sent.rejected:,}"),
        ("stored, in all", f"{totals['events']:,} by {totals['uniqueUsers']:,} users"),
        ("revenue, in all", totals["revenue"]),
        ("sending", f"{sent.per_second:,.0f} events/s"),
        (
            "sending to stored",
            f"{sent.sent / run.seconds:,.0f} events/s, {run.seconds:.1f} s from the first request "
            "to the last row, starts included",
        ),
    ):
        summary.add_row(name, f"[bold]{value}[/bold]")
    console.print(summary)
    console.print(Columns([_by_type(overview), _funnel(run.answers.funnel)], padding=(0, 4)))
    console.print(Columns([_countries(run.answers.countries), _dead(run.dead)], padding=(0, 4)))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _by_type(overview: Answer) -> Table:
    table = _table("Events by source and type", "source", "type", "events", "revenue")
    for row in overview["byEventType"]:
        table.add_row(row["source"], row["eventType"], f"{row['events']:,}", row["revenue"])
    return table


def _funnel(funnel: Answer) -> Table:
    table = _table("Funnel", "source", "top", "bottom", "conversion")
    for name, row in [("all", funnel), *((each["source"], each) for each in funnel["bySource"])]:
        rate = row["conversionRate"]
        percent = "-" if rate is None else f"{float(rate):.1%}"
        table.add_row(name, f"{row['top']:,}", f"{row['bottom']:,}", percent)
    return table


def _countries(countries: Answer) -> Table:
    table = _table("Top countries", "country", "events", "revenue")
    for row in countries["items"][:8]:
        table.add_row(row["country"], f"{row['events']:,}", row["revenue"])
    return table


def _dead(dead: DeadLetters) -> Table:
    table = _table("Rejected, and why", "reason", "events")
    for reason, count in dead.reasons.most_common(12):
        table.add_row(reason, f"{count:,}")
    return table
