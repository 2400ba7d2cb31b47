"""The whole platform end to end, beside an earlier commit of it and a service of the usual kind.

That service runs twice: with a broker as it comes, which acknowledges before the disk is written,
and with one that acknowledges what is on the disk, as the platform does.

All of them are up at once, each with its own servers, and are measured in turns: a busy machine
hurts all alike. Processor time per event is what differs least from run to run.
"""

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.e2e.measure import (
    ARRAYS,
    NO_WARM_UP,
    QUICK_WARM_UP,
    SCENARIOS,
    SINGLES,
    FromZero,
    Lone,
    Scenario,
    Throughput,
    WarmUp,
    from_zero,
    lone,
    median,
    throughput,
    write_templates,
)
from tests.bench.e2e.revision import HERE, check_out, describe
from tests.bench.e2e.services import Service, universe, usual
from tests.bench.options import Options
from tests.bench.progress import Steps, steps
from tests.bench.usual.__main__ import ON_DISK

USUAL, USUAL_ON_DISK = "usual", "usual, on disk"


@dataclass
class Figures:
    """What was measured of a service, by round."""

    runs: dict[str, list[Throughput]] = field(default_factory=dict)
    lone: Lone = field(default_factory=Lone)
    from_zero: FromZero = field(default_factory=FromZero)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    scenarios: tuple[Scenario, ...]
    rounds: int
    seconds: float
    warm_up: WarmUp
    lone: int
    from_zero: int


FULL = Plan(SCENARIOS, rounds=2, seconds=5.0, warm_up=WarmUp(), lone=15, from_zero=3)
QUICK = Plan((SINGLES, ARRAYS), rounds=1, seconds=2.0, warm_up=QUICK_WARM_UP, lone=10, from_zero=1)


def run(options: Options) -> dict[str, Any]:
    """Measure and return figures; takes one to five minutes and leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="universe-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user where this is root
    try:
        with steps() as progress:
            figures = asyncio.run(_measure(options, folder, progress))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"here": describe(), "against": options.against} | _summarize(figures)


async def _measure(options: Options, folder: Path, progress: Steps) -> dict[str, Figures]:
    plan = QUICK if options.quick else FULL
    revisions = [HERE]
    if options.against:
        revisions.append(check_out(options.against, folder / "against", progress.prepare))
    progress.prepare("starting the services")
    with ExitStack() as stack:
        starting = [
            stack.enter_context(universe(each, folder / f"platform-{number}"))
            for number, each in enumerate(revisions)
        ]
        starting_usual = [
            stack.enter_context(usual(USUAL, folder / "usual")),
            stack.enter_context(usual(USUAL_ON_DISK, folder / "usual-on-disk", ON_DISK)),
        ]
        bodies = write_templates(plan.scenarios, folder)
        services = [each.service() for each in (*starting, *starting_usual)]
        figures = {each.name: Figures() for each in services}
        steps_of_round = sum(len(_scenarios(each, plan)) + 1 for each in services)
        progress.expect(plan.rounds * steps_of_round)
        for _ in range(plan.rounds):
            for scenario in plan.scenarios:
                for service in services:
                    if scenario not in _scenarios(service, plan):
                        continue
                    progress.begin(f"{scenario.name}: {service.name}")
                    measured = await throughput(
                        service,
                        scenario,
                        bodies[scenario.name],
                        plan.seconds,
                        _warm_up(service, scenario, plan),
                    )
                    figures[service.name].runs.setdefault(scenario.name, []).append(measured)
            for service in services:
                progress.begin(f"lone events and starts: {service.name}")
                _measure_latency(service, bodies[SINGLES.name], plan, figures[service.name])
            services.reverse()
        return figures


def _scenarios(service: Service, plan: Plan) -> tuple[Scenario, ...]:
    """Return what is measured of a service."""
    if service.name == USUAL_ON_DISK:
        return SINGLES, ARRAYS  # minutes a round, and what days events have is nothing to a broker
    return plan.scenarios


def _warm_up(service: Service, scenario: Scenario, plan: Plan) -> WarmUp:
    """Return the load before a measurement."""
    if service.name == USUAL_ON_DISK and scenario is ARRAYS:
        return NO_WARM_UP  # one answer takes ten seconds, and single events came right before
    return plan.warm_up


def _measure_latency(service: Service, bodies: Path, plan: Plan, figures: Figures) -> None:
    measured = lone(service, bodies, plan.lone)
    figures.lone.answered_ms += measured.answered_ms
    figures.lone.stored_ms += measured.stored_ms
    if service.gateway:
        starts = from_zero(service, bodies, plan.from_zero)
        figures.from_zero.ingest_ms += starts.ingest_ms
        figures.from_zero.stored_ms += starts.stored_ms
        figures.from_zero.report_ms += starts.report_ms
        figures.from_zero.cpu_ms += starts.cpu_ms


def _summarize(figures: dict[str, Figures]) -> dict[str, Any]:
    return {
        "services": {name: _of_service(each) for name, each in figures.items()},
        "ratios": {
            f"here / {other}": _ratios(figures["here"], each)
            for other, each in figures.items()
            if other != "here"
        },
    }


def _of_service(figures: Figures) -> dict[str, Any]:
    result: dict[str, Any] = {
        name: {
            "events": sum(run.events for run in runs),
            "refused_requests": sum(run.refused for run in runs),
            **{
                each: round(median([getattr(run, each) for run in runs]), 1)
                for each in (
                    *("accepted_rate", "stored_rate", "folded_rate"),
                    *("p50_ms", "p99_ms", "batch", "load_us"),
                )
            },
            "cpu_us": _median_parts(runs),
        }
        for name, runs in figures.runs.items()
    }
    result["lone_event_ms"] = {
        "answered": round(median(figures.lone.answered_ms), 1),
        "stored": round(median(figures.lone.stored_ms), 1),
    }
    zero = figures.from_zero
    if zero.ingest_ms:
        result["from_zero_ms"] = {
            "first_event_answered": round(median(zero.ingest_ms)),
            "first_event_stored": round(median(zero.stored_ms)),
            "first_report": round(median(zero.report_ms)),
            "first_report_cpu": round(median(zero.cpu_ms)),
        }
    return result


def _median_parts(runs: list[Throughput]) -> dict[str, float]:
    parts = dict.fromkeys(part for run in runs for part in run.cpu_us)
    figures = {
        part: round(median([run.cpu_us.get(part, 0.0) for run in runs]), 1) for part in parts
    }
    figures["all"] = round(median([sum(run.cpu_us.values()) for run in runs]), 1)
    return figures


def _ratios(here: Figures, other: Figures) -> dict[str, dict[str, float]]:
    """Return how many times as much is done per second, and what it costs, round by round."""
    return {
        name: {
            "stored_rate": _ratio(runs, other.runs[name], lambda run: run.stored_rate),
            "folded_rate": _ratio(runs, other.runs[name], lambda run: run.folded_rate),
            "p99_ms": _ratio(runs, other.runs[name], lambda run: run.p99_ms),
            "cpu_us": _ratio(runs, other.runs[name], lambda run: sum(run.cpu_us.values())),
        }
        for name, runs in here.runs.items()
        if name in other.runs
    }


def _ratio(
    here: list[Throughput], other: list[Throughput], figure: Callable[[Throughput], float]
) -> float:
    pairs = zip(here, other, strict=True)
    return round(statistics.median(figure(a) / figure(b) for a, b in pairs), 2)


def show(result: dict[str, Any]) -> None:
    """Print the figures as tables."""
    console = Console(highlight=False)
    services = result["services"]
    for scenario in (each.name for each in SCENARIOS):
        measured = {name: each[scenario] for name, each in services.items() if scenario in each}
        if measured:
            _show_scenario(console, scenario, measured, result["ratios"])
    table = Table(box=None, title="One at a time, ms", title_justify="left")
    for title in (
        "",
        "lone: answered",
        "stored",
        "from 0: answered",
        "stored",
        "report",
        "its CPU",
    ):
        table.add_column(title, justify="right" if title else "left")
    for name, each in services.items():
        lone_event, zero = each["lone_event_ms"], each.get("from_zero_ms", {})
        table.add_row(name, *map(str, (*lone_event.values(), *zero.values())))
    console.print(table)


def _show_scenario(
    console: Console, scenario: str, measured: dict[str, Any], ratios: dict[str, Any]
) -> None:
    table = Table(box=None, title=f"{scenario[0].upper()}{scenario[1:]}", title_justify="left")
    titles = (
        "events/s stored",
        "folded",
        "p50 ms",
        "p99 ms",
        "batch",
        "load us",
        "CPU us",
        "of which",
    )
    for title in ("", *titles):
        table.add_column(title, justify="right" if title not in ("", "of which") else "left")
    for name, each in measured.items():
        parts = sorted(each["cpu_us"].items(), key=lambda part: -part[1])
        table.add_row(
            name,
            f"{each['stored_rate']:,.0f}",
            f"{each['folded_rate']:,.0f}",
            *(str(each[figure]) for figure in ("p50_ms", "p99_ms", "batch", "load_us")),
            str(each["cpu_us"]["all"]),
            ", ".join(f"{part} {us:g}" for part, us in parts if part != "all" and us >= 0.1),
        )
    for versus, by_scenario in ratios.items():
        ratio = by_scenario.get(scenario)
        if not ratio:
            continue
        table.add_row(
            versus,
            f"{ratio['stored_rate']:g} x",
            f"{ratio['folded_rate']:g} x",
            "",
            f"{ratio['p99_ms']:g} x",
            *("", ""),
            f"{ratio['cpu_us']:g} x",
        )
    console.print(table)


__all__ = ["FULL", "QUICK", "Scenario", "run", "show"]
