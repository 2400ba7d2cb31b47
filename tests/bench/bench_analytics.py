"""Reports over five million events, beside raw JSONB and beside DuckDB on the same rows.

    python -m tests.bench.bench_analytics [--events N] [--days N] [--no-raw] [--keep FOLDER]

Ours is computed anew each time, from a fresh snapshot: nothing is cached between requests.
"""

import functools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import duckdb
import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from infra.database.migrate import migrate
from infra.local.servers.postgres import READER, EmbeddedPostgres
from tests.bench.analytics.answers import differences
from tests.bench.analytics.dataset import Dataset, Size, make
from tests.bench.analytics.newer import PERSON, STATEMENTS, newer_statements
from tests.bench.analytics.others import column_statements, is_short, raw_statements

EVENTS, DAYS, USERS = 5_000_000, 60, 200_000
EVENTS_OF_USER = 25
"""Fewer events come from fewer users."""
OURS_RUNS, OTHER_RUNS = 40, 10
OURS_SECONDS = 30.0
"""Ours is asked again only while that takes no longer."""
LONG = 5000.0
"""Milliseconds from which on the first answer counts, warm or not."""
RAW_SECONDS = 25.0
"""The others are asked again only while that takes no longer."""
# Making the data only: nothing that is measured writes.
SERVER_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}

console = Console(highlight=False)

QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "overview": ("overview", {}),
    "timeseries": ("timeseries", {"split": "source"}),
    "funnel": ("funnel", {}),
    "countries": ("countries", {}),
    "campaigns": ("campaigns", {}),
    "users": ("users", {}),
    "users by revenue": ("users", {"by": "revenue"}),
    "revenue": ("revenue", {}),
    "demographics": ("demographics", {}),
    "newest events": ("events", {"limit": 100}),
    "search, frequent": ("events", {"limit": 100, "where": '{"engagement":{"device":"mobile"}}'}),
    "search, rare": ("events", {"limit": 100, "where": '{"user":{"userId":"fb-user-150001"}}'}),
    "steps": ("steps", {"steps": "ad.view,ad.click,checkout.complete"}),
    "retention": ("retention", {}),
    "by country": ("breakdown", {"by": "country", "limit": 100}),
    "by browser": ("breakdown", {"by": "browser"}),
    "economics": ("economics", {}),
    "attribution": ("attribution", {}),
    "person": ("events", {"limit": 100, "userId": PERSON}),
    "live": ("live", {"minutes": 5}),
}
READS_EVENTS = frozenset({"by browser", "attribution"})
"""They read all events of a range, and more than so many only if they are told `exact`."""


def run(
    events: int = EVENTS, days: int = DAYS, raw: bool = True, kept: Path | None = None
) -> dict[str, Any]:
    """Make the data, measure, and return milliseconds.

    Args:
        events: how many events.
        days: they are spread over so many days.
        raw: whether raw JSONB is measured too; it takes most of the time and of the disk.
        kept: where the data stay for the next run; None: nowhere.
    """
    folder = kept or Path(tempfile.mkdtemp(prefix="universe-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(folder / "postgres", settings=SERVER_SETTINGS)
    server.start()
    try:
        size = Size(events, days, min(USERS, events // EVENTS_OF_USER), raw)
        dataset = _make(server, folder, size)
        return _measure(dataset, server.url(), server.url(READER), raw=raw)
    finally:
        server.stop()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _make(server: EmbeddedPostgres, folder: Path, size: Size) -> Dataset:
    server.ensure_database()
    migrate(server.url())
    server.set_role_passwords()
    columns = (
        TextColumn("making {task.fields[events]:,} events"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console, speed_estimate_period=120) as progress:
        task = progress.add_task("", total=1.0, events=size.events)
        return make(server.url(), folder, size, lambda share: progress.advance(task, share))


def _measure(dataset: Dataset, owner_url: str, reader_url: str, *, raw: bool) -> dict[str, Any]:
    day = datetime.combine(dataset.days[len(dataset.days) // 2], datetime.min.time(), UTC)
    end = datetime.combine(dataset.days[-1], datetime.min.time(), UTC) + timedelta(days=1)
    # of the day that is open: a report about now reads what has no indexes yet
    noon = end - timedelta(hours=12)
    ranges: dict[str, tuple[datetime | None, datetime | None]] = {
        f"{DAYS} days": (None, None)
        if len(dataset.days) == DAYS
        else (end - timedelta(days=DAYS), end),
        "one day": (day, day + timedelta(days=1)),
    }
    if len(dataset.days) > DAYS:
        ranges["all days"] = (None, None)
    result: dict[str, Any] = {
        "events": dataset.events,
        "days": len(dataset.days),
        "setUpSeconds": dataset.seconds,
        "milliseconds": {},
    }
    with (
        psycopg.connect(owner_url, options="-c timezone=UTC -c jit=off") as json_rows,
        duckdb.connect(str(dataset.duckdb_file), read_only=True) as columnar,
    ):
        columnar.execute("SET threads = 2; SET timezone = 'UTC'")
        for title, (start, end) in ranges.items():
            for name in QUESTIONS:
                if name == "live" and not is_short(start, end):
                    continue
                bounds = (noon - timedelta(minutes=5), noon) if name == "live" else (start, end)
                ours = _ours(reader_url, name, *bounds)
                others = {"duckdb": _statements(columnar, _texts("duckdb", name, *bounds))}
                if raw:
                    others["rawJsonb"] = _statements(json_rows, _texts("raw", name, *bounds))
                answer = ours()
                figures = {"ours": _times(ours, OURS_RUNS, OURS_SECONDS)}
                for way, run_once in others.items():
                    rows: list[Any] = []
                    figures[way] = _times(run_once, OTHER_RUNS, RAW_SECONDS, rows)
                    for difference in differences(name, answer, rows):
                        raise click.ClickException(f"ours and {way} differ: {difference}")
                result["milliseconds"].setdefault(title, {})[name] = figures
                console.print(
                    f"{title:8} {name:18}"
                    + " ".join(f"{way} {of['p50']:9.1f}" for way, of in figures.items())
                )
    return result


def _ours(
    reader_url: str, name: str, start: datetime | None, end: datetime | None
) -> Callable[[], object]:
    os.environ["DATABASE_READER_URL"] = reader_url
    os.environ["DB_STATEMENT_TIMEOUT"] = "120"
    # imported here: the function reads its configuration once
    from functions.analytics_query import database
    from functions.analytics_query.reports import REPORTS
    from functions.analytics_query.reports.live import live_at
    from functions.common.json_text import to_json

    report_name, params = QUESTIONS[name]
    report = REPORTS[report_name]
    interval = {"interval": "hour" if is_short(start, end) else "day"}
    if report_name in ("timeseries", "revenue"):
        params = params | interval
    if name in READS_EVENTS:
        params = params | {"exact": True}
    compute: Callable[..., Any] = report.compute  # of its own type of query
    if name == "live":
        assert end
        query: Any = report.query.model_validate(params)
        # the second that has begun is part of its range
        compute = functools.partial(live_at, now=end - timedelta(seconds=1))
    else:
        query = report.query.model_validate({"from": start, "to": end} | params)

    def run_once() -> Any:
        with database.snapshot() as snapshot:
            answer = compute(snapshot, query)
            to_json(answer)
            return answer

    return run_once


def _texts(way: str, name: str, start: datetime | None, end: datetime | None) -> list[str]:
    if name in STATEMENTS:
        return newer_statements(way, name, start, end)
    return (column_statements if way == "duckdb" else raw_statements)(name, start, end)


def _statements(connection: Any, statements: list[str]) -> Callable[[], Any]:
    def run_once() -> Any:
        return [connection.execute(statement).fetchall() for statement in statements]

    return run_once


def _times(
    run_once: Callable[[], Any], runs: int, max_seconds: float, answer: list[Any] | None = None
) -> dict[str, float]:
    """Return how long something takes; its first answer is added to `answer`."""

    def timed() -> float:
        started = time.perf_counter()
        found = run_once()
        passed = (time.perf_counter() - started) * 1000
        if answer is not None and not answer:
            answer.extend(found)
        return passed

    began = time.monotonic()
    cold = timed()
    # what takes minutes is not repeated only because the first run was cold
    times = [cold] if cold > LONG else [timed()]
    while len(times) < runs and time.monotonic() - began < max_seconds:
        times.append(timed())
    return {"p50": _round(statistics.median(times)), "p95": _round(_p95(times)), "runs": len(times)}


def _p95(times: Iterable[float]) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def _round(milliseconds: float) -> float:
    return round(milliseconds, 1)


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    console.print(
        f"{result['events']:,} events of {result['days']} days; milliseconds. "
        f"Set-up, seconds of two threads: {result['setUpSeconds']}"
    )
    for title, reports in result["milliseconds"].items():
        table = Table(title=title, box=None, min_width=110)
        table.add_column("report", no_wrap=True)
        ways = {"ours": "ours", "duckdb": "DuckDB", "rawJsonb": "raw"}
        measured = [way for way in ways if way in next(iter(reports.values()))]
        for way in measured:
            for column in (f"{ways[way]} p50", "p95"):
                table.add_column(column, justify="right", no_wrap=True)
        for way in measured[1:]:
            table.add_column(f"x {ways[way]}", justify="right", no_wrap=True)
        for name, figures in reports.items():
            ours = figures["ours"]["p50"]
            table.add_row(
                name,
                *(f"{figures[way][p]:,.1f}" for way in measured for p in ("p50", "p95")),
                *(f"{figures[way]['p50'] / ours:,.1f}" for way in measured[1:]),
            )
        console.print(table, width=110, crop=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--events", default=EVENTS, help="How many events.")
@click.option("--days", default=DAYS, help="Spread over so many days, the last yesterday.")
@click.option("--raw/--no-raw", default=True, help="Measure raw JSONB too.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep the data here for the next run."
)
def main(events: int, days: int, raw: bool, keep: Path | None) -> None:
    """Measure the reports; the figures are also written to bench-results/analytics.json."""
    result = run(events, days, raw, keep)
    show(result)
    file = Path("bench-results/analytics.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
