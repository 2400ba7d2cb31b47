"""What more replicas give, what each part costs, and what a bigger machine would do.

Prints the tables of docs/capacity.md.
"""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.bench.e2e.measure import (
    ARRAYS,
    BACKFILL,
    QUICK_WARM_UP,
    SINGLES,
    Throughput,
    WarmUp,
    throughput,
    write_templates,
)
from tests.bench.e2e.revision import HERE, describe
from tests.bench.e2e.services import Service, kept_environment, universe
from tests.bench.options import Options
from tests.bench.progress import Steps, steps
from tests.support.net import wait_until

REPLICAS, QUICK_REPLICAS = (1, 2, 4), (1, 2)
CALLS_PER_REPLICA = 2
"""Invocations at a time for each replica of process-batch: what stack.yml sets for one."""
SCALED = ("ingest", "process-batch")
SECONDS, QUICK_SECONDS = 4.0, 1.0
CORES = (2, 4, 8, 16)
IDLE_SHARE = 0.15
"""Of the processors, kept for peaks: what a plan should not count on."""


@dataclass(frozen=True)
class Part:
    """A part of the platform, and what more of it means.

    Attributes:
        name: as the processor time names it.
        most: how many processes of one core each it may have on one machine; None: as many cores as
            there are.
        more: how it is given more.
    """

    name: str
    most: int | None
    more: str


PARTS = (
    Part("gateway", 1, "one process here; on a cluster, more replicas of the engine's gateway"),
    Part("ingest", 5, "replicas, `com.openfaas.scale.max`"),
    Part("NATS", None, "a faster disk, then a cluster of three"),
    Part("connector", 1, "more connectors on one stream"),
    Part("process-batch", 4, "replicas, `com.openfaas.scale.max`; the connector asks for them"),
    Part("PostgreSQL", None, "cores and a faster disk for the server"),
)


def run(options: Options) -> dict[str, Any]:
    """Measure and return figures; takes one to two minutes and leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="universe-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user where this is root
    try:
        with steps() as progress:
            return asyncio.run(_measure(folder, options, progress))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(folder: Path, options: Options, progress: Steps) -> dict[str, Any]:
    seconds = QUICK_SECONDS if options.quick else SECONDS
    counts = QUICK_REPLICAS if options.quick else REPLICAS
    warm_up = QUICK_WARM_UP if options.quick else WarmUp()
    bodies = write_templates((SINGLES, ARRAYS, BACKFILL), folder)
    progress.expect(len(counts) * 2 + (not options.quick))
    by_replicas: dict[int, dict[str, Throughput]] = {}
    disk: dict[str, int] = {}
    for replicas in counts:
        runs = by_replicas[replicas] = {}
        progress.prepare(f"{replicas} replicas: starting")
        with universe(
            HERE,
            folder / f"platform-{replicas}",
            SCALING="false",
            NATS_CONCURRENCY=str(CALLS_PER_REPLICA * replicas),
        ) as starting:
            service = starting.service()
            _scale(service, replicas)
            for scenario in (SINGLES, ARRAYS):
                progress.begin(f"{replicas} replicas: {scenario.name}")
                file = bodies[scenario.name]
                runs[scenario.name] = await throughput(service, scenario, file, seconds, warm_up)
            if not disk and not options.quick:  # a third of a quick run
                progress.begin("what is stored")
                disk = await _disk(service, bodies[BACKFILL.name], seconds, warm_up)
    one = by_replicas[counts[0]]
    return {
        "here": describe(),
        "cores": psutil.cpu_count(),
        "replicas": {
            replicas: {name: _rates(each) for name, each in runs.items()}
            for replicas, runs in by_replicas.items()
        },
        "cpu_us_per_event": {
            name: {part: round(us, 1) for part, us in each.cpu_us.items()}
            for name, each in one.items()
        },
        "machines": {
            cores: {name: _on_machine(cores, each) for name, each in one.items()} for cores in CORES
        },
        "disk_mb_per_million_events": disk,
    }


def _rates(run: Throughput) -> dict[str, float]:
    cores_used = sum(run.cpu_us.values()) + run.load_us
    return {
        "stored_rate": round(run.stored_rate),
        "p99_ms": round(run.p99_ms, 1),
        "cpu_us": round(sum(run.cpu_us.values()), 1),
        "cores_used": round(cores_used * run.folded_rate / 1e6, 2),
    }


def _on_machine(cores: int, run: Throughput) -> dict[str, Any]:
    """Return what a machine would do: its cores, or a part that has no more of them, is the limit.

    The load comes from elsewhere.
    """
    limits = {"cores": cores * (1 - IDLE_SHARE) * 1e6 / sum(run.cpu_us.values())}
    for part in PARTS:
        if part.most is not None and run.cpu_us.get(part.name):
            limits[part.name] = part.most * (1 - IDLE_SHARE) * 1e6 / run.cpu_us[part.name]
    limit = min(limits, key=lambda name: limits[name])
    return {"rate": round(limits[limit]), "limit": limit}


def _scale(service: Service, replicas: int) -> None:
    login = httpx.BasicAuth("admin", service.password)
    with httpx.Client(base_url=service.gateway, auth=login, timeout=60) as client:
        for name in SCALED:
            wanted = {"serviceName": name, "replicas": replicas}
            client.post(f"/system/scale-function/{name}", json=wanted).raise_for_status()

        def ready() -> bool:
            functions = client.get("/system/functions").raise_for_status().json()
            available = {each["name"]: each.get("availableReplicas") for each in functions}
            return all(available[name] == replicas for name in SCALED)

        wait_until(ready, 90)


_PARTITIONS = """
SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint
FROM pg_partition_tree('events') WHERE isleaf AND relid::text LIKE 'events\\_%'
"""
_OTHERS = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
AND relname NOT LIKE 'events\\_%' AND relname <> 'rollup_deltas'
"""


async def _disk(service: Service, bodies: Path, seconds: float, warm_up: WarmUp) -> dict[str, int]:
    """Return what a million events take, in MB: of this mix, over 30 days."""
    rows, sums = service.stored(), service.number(_OTHERS)
    live = service.number(_PARTITIONS)
    result = {"events of today, with their index": live / rows}
    await throughput(service, BACKFILL, bodies, seconds, warm_up)
    late = service.stored() - rows
    result["events of 30 days, with their index"] = (service.number(_PARTITIONS) - live) / late
    subprocess.run(
        HERE.command("seal", "--idle-minutes", "0"),
        cwd=HERE.root,
        env=kept_environment() | {"DATABASE_URL": service.database_url},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    result["the same days, sealed"] = (service.number(_PARTITIONS) - live) / late
    result["sums for reports, 30 days"] = (service.number(_OTHERS) - sums) / late
    waiting = len(bodies.read_bytes())  # noqa: ASYNC240 - nothing else runs
    result["waiting in NATS"] = waiting / BACKFILL.templates
    return {name: round(size) for name, size in result.items()}  # bytes an event: MB a million


def show(result: dict[str, Any]) -> None:
    """Print the tables of docs/capacity.md."""
    print("\n".join(markdown(result)))


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables."""
    costs = result["cpu_us_per_event"]
    yield f"Measured at {result['here']} on {result['cores']} cores."
    yield ""
    each = ("µs an event", "events/s a core")
    yield from _head(
        "part", *(f"{name}: {title}" for name in costs for title in each), "more of it"
    )
    for part in PARTS:
        cells = [cell for each in costs.values() for cell in _cost(each.get(part.name, 0.0))]
        yield _row(part.name, *cells, part.more)
    yield _row("all", *(cell for each in costs.values() for cell in _cost(sum(each.values()))), "")
    yield ""
    yield from _head(
        "cores", *(f"{name}: {title}" for name in costs for title in ("events/s", "limit"))
    )
    for cores, machine in result["machines"].items():
        yield _row(cores, *(cell for each in machine.values() for cell in each.values()))
    yield ""
    each = ("events/s", "p99 ms", "µs an event", "cores used")
    yield from _head("replicas", *(f"{name}: {title}" for name in costs for title in each))
    for replicas, runs in result["replicas"].items():
        yield _row(replicas, *(cell for each in runs.values() for cell in each.values()))
    yield ""
    if not result["disk_mb_per_million_events"]:
        return
    yield from _head("disk", "MB for a million events")
    for name, megabytes in result["disk_mb_per_million_events"].items():
        yield _row(name, megabytes)


def _head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|---" * len(titles) + "|"


def _row(*cells: object) -> str:
    texts = (f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in cells)
    return f"| {' | '.join(texts)} |"


def _cost(us: float) -> tuple[str, str]:
    return f"{us:.1f}", f"{1e6 / us:,.0f}" if us else "-"
