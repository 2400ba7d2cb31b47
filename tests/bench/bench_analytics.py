"""Reports over five million events, beside raw JSONB and beside DuckDB on the same rows.

Ours is computed anew each time, from a fresh snapshot: nothing is cached between requests.
`BENCH_ANALYTICS_EVENTS` changes how many events there are; `BENCH_ANALYTICS_FOLDER` keeps the data
for the next run.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from rich.console import Console
from rich.table import Table

from infra.local.servers.postgres import EmbeddedPostgres
from tests.bench.analytics.dataset import Dataset, make
from tests.bench.analytics.others import RAW, column_statements, raw_statements

EVENTS = int(os.environ.get("BENCH_ANALYTICS_EVENTS", "5000000"))
USERS = EVENTS // 25
OURS_RUNS, OTHER_RUNS = 40, 10
LONG = 5000.0
"""Milliseconds from which on the first answer counts, warm or not."""
RAW_SECONDS = 25.0
"""Raw JSONB is asked again only while that takes no longer."""

console = Console(highlight=False)

QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "overview": ("overview", {}),
    "timeseries": ("timeseries", {"split": "source"}),
    "funnel": ("funnel", {}),
    "countries": ("countries", {}),
    "campaigns": ("campaigns", {}),
    "users": ("users", {}),
    "revenue": ("revenue", {}),
    "demographics": ("demographics", {}),
    "newest events": ("events", {"limit": 100}),
    "search, frequent": ("events", {"limit": 100, "where": '{"engagement":{"device":"mobile"}}'}),
    "search, rare": ("events", {"limit": 100, "where": '{"user":{"userId":"fb-user-150001"}}'}),
}


def run() -> dict[str, Any]:
    """Make the data, measure, and return milliseconds."""
    kept = os.environ.get("BENCH_ANALYTICS_FOLDER")
    folder = Path(kept or tempfile.mkdtemp(prefix="universe-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    try:
        dataset = make(server, folder, EVENTS, USERS, console.print)
        return _measure(dataset)
    finally:
        server.stop()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _measure(dataset: Dataset) -> dict[str, Any]:
    day = datetime.combine(dataset.days[len(dataset.days) // 2], datetime.min.time(), UTC)
    ranges: dict[str, tuple[datetime | None, datetime | None]] = {
        "60 days": (None, None),
        "one day": (day, day + timedelta(days=1)),
    }
    result: dict[str, Any] = {"events": dataset.events, "setUpSeconds": dataset.seconds}
    with (
        psycopg.connect(dataset.owner_url, options="-c timezone=UTC -c jit=off") as raw,
        duckdb.connect(str(dataset.duckdb_file), read_only=True) as columnar,
    ):
        columnar.execute("SET threads = 2; SET timezone = 'UTC'")
        for title, (start, end) in ranges.items():
            for name in RAW:
                figures = {
                    "ours": _times(_ours(dataset, name, start, end), OURS_RUNS),
                    "duckdb": _times(
                        _statements(columnar, column_statements(name, start, end)), OTHER_RUNS
                    ),
                    "rawJsonb": _times(
                        _statements(raw, raw_statements(name, start, end)), OTHER_RUNS, RAW_SECONDS
                    ),
                }
                result.setdefault(title, {})[name] = figures
                console.print(
                    f"{title:8} {name:18}"
                    + " ".join(f"{way} {of['p50']:9.1f}" for way, of in figures.items())
                )
    return result


def _ours(
    dataset: Dataset, name: str, start: datetime | None, end: datetime | None
) -> Callable[[], object]:
    os.environ["DATABASE_READER_URL"] = dataset.reader_url
    os.environ["DB_STATEMENT_TIMEOUT"] = "120"
    # imported here: the function reads its configuration once
    from functions.analytics_query import database
    from functions.analytics_query.reports import REPORTS
    from functions.common.json_text import to_json

    report_name, params = QUESTIONS[name]
    report = REPORTS[report_name]
    interval = {"interval": "hour" if start else "day"}
    if report_name in ("timeseries", "revenue"):
        params = params | interval
    query = report.query.model_validate({"from": start, "to": end} | params)

    def run_once() -> object:
        with database.snapshot() as snapshot:
            return to_json(report.compute(snapshot, query))

    return run_once


def _statements(connection: Any, statements: list[str]) -> Callable[[], object]:
    def run_once() -> object:
        return [connection.execute(statement).fetchall() for statement in statements]

    return run_once


def _times(
    run_once: Callable[[], object], runs: int, max_seconds: float = float("inf")
) -> dict[str, float]:
    def timed() -> float:
        started = time.perf_counter()
        run_once()
        return (time.perf_counter() - started) * 1000

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
    """Print the table."""
    console.print(f"{result['events']:,} events; milliseconds", result["setUpSeconds"])
    for title in ("60 days", "one day"):
        table = Table(title=title, box=None, min_width=110)
        table.add_column("report", no_wrap=True)
        for column in (
            "ours p50",
            "p95",
            "DuckDB p50",
            "p95",
            "raw p50",
            "p95",
            "x DuckDB",
            "x raw",
        ):
            table.add_column(column, justify="right", no_wrap=True)
        for name, ways in result[title].items():
            ours, columnar, raw = ways["ours"], ways["duckdb"], ways["rawJsonb"]
            table.add_row(
                name,
                *(f"{way[p]:,.1f}" for way in (ours, columnar, raw) for p in ("p50", "p95")),
                f"{columnar['p50'] / ours['p50']:.1f}",
                f"{raw['p50'] / ours['p50']:,.1f}",
            )
        console.print(table)
