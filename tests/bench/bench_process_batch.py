"""process-batch beside other ways to write the same rows, measured in turns in one run.

Only the ratios mean something on a machine that does other things too. Every measurement writes to
a fresh database on one real server; the load comes from this process over kept-alive connections.
"""

import gc
import http.client
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import orjson
import psutil
import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from functions.common.events import columns, validate_json
from functions.process_batch.compaction import compact
from functions.process_batch.deltas import COLUMNS as DELTAS
from functions.process_batch.deltas import delta_lines
from functions.process_batch.rows import COLUMNS, EventRow
from infra.cli.load.event_generator import Event, Mix, generate
from infra.database.migrate import migrate
from infra.local.servers.postgres import WRITER, EmbeddedPostgres
from tests.bench.cores import two_cores
from tests.bench.options import Options
from tests.support.functions import Function, running
from tests.support.secrets import signed
from tests.support.storage import parts

BATCH = 5000
USUAL_BATCH = 500
CONCURRENCY = 2
"""Calls at a time per replica: what stack.yml sets for the connector."""

USUAL_SCHEMA = Path(__file__).parent / "usual" / "schema.sql"
_TEMPLATE = "bench_template"
ROW_COLUMNS = (
    "day, event_id, occurred_at, received_at, source, funnel_stage, event_type, user_id, country, "
    "campaign_id, revenue, data"
)

NO_INDEX_SCHEMA = """
CREATE TABLE bare (LIKE events) PARTITION BY RANGE (day);
DO $$
DECLARE
    partition record;
BEGIN
    FOR partition IN SELECT day FROM event_days LOOP
        EXECUTE format('CREATE TABLE bare_%s PARTITION OF bare FOR VALUES FROM (%L) TO (%L)',
                       to_char(partition.day, 'YYYYMMDD'), partition.day, partition.day + 1);
    END LOOP;
END
$$;
"""


class Measured(NamedTuple):
    """One measurement.

    Attributes:
        rate: events per second.
        cpu_us: processor time per event, of the writing program and the database server together,
            in microseconds: busy neighbours change it less than they change the rate.
        peak_mib: the most memory of a replica, where there is one.
    """

    rate: float
    cpu_us: float
    peak_mib: float | None = None


class Stopwatch:
    """Measures some work from when it is made until `stop`."""

    def __init__(self, server: EmbeddedPostgres, writers: list[int]) -> None:
        """Begin.

        Args:
            server: the database server.
            writers: the programs that write, by process id; with them count their children.
        """
        assert server.pid
        self._pids = [server.pid, *writers]
        self._before = self._cpu_seconds()
        self._started = time.perf_counter()

    def stop(self, events: int, peak_mib: float | None = None) -> Measured:
        """Return what writing `events` took."""
        seconds = time.perf_counter() - self._started
        cpu_seconds = self._cpu_seconds() - self._before
        return Measured(events / seconds, cpu_seconds / events * 1e6, peak_mib)

    def _cpu_seconds(self) -> float:
        seconds = 0.0
        for pid in self._pids:
            process = psutil.Process(pid)
            if pid == os.getpid():
                seconds += sum(process.cpu_times()[:2])
                continue
            for child in process.children():
                with suppress(psutil.NoSuchProcess):  # it ended, and counts as its parent's now
                    seconds += sum(child.cpu_times()[:2])
            seconds += sum(process.cpu_times()[:4])
        return seconds


@dataclass
class Figures:
    """What was measured under one name, over all rounds."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    peak_mib: float | None = None

    def add(self, measured: Measured) -> None:
        """Count one round."""
        self.rates.append(measured.rate)
        self.cpu_us.append(measured.cpu_us)
        if measured.peak_mib is not None:
            self.peak_mib = max(self.peak_mib or 0, measured.peak_mib)


@dataclass(frozen=True)
class Case:
    """Something to measure; `thorough`: not where the run has to be quick."""

    name: str
    measure: Callable[[], Measured]
    thorough: bool = False


def run(options: Options) -> dict[str, Any]:
    """Measure and return figures; takes up to two minutes, and leaves nothing behind."""
    # how many events each measurement writes (the slow ones write fewer), and how often everything
    # is measured, in turns; the median counts
    events, rounds = (8_000, 1) if options.quick else (80_000, 2)
    with _bench(events) as bench, Progress(console=Console(stderr=True)) as progress:
        cases = [each for each in bench.cases() if not (each.thorough and options.quick)]
        figures = {case.name: Figures() for case in cases}
        cores: list[float] = []
        task = progress.add_task("", total=rounds * len(cases))
        for _ in range(rounds):
            for case in cases:
                progress.update(task, description=case.name)
                figures[case.name].add(case.measure())
                progress.advance(task)
            cores.append(two_cores())
    return _summarize(figures, events) | {"two_cores": statistics.median(cores)}


def show(result: dict[str, Any]) -> None:
    """Print the figures as a table."""
    table = Table(box=None)
    table.add_column("")
    for title in ("events/s", "CPU us", "x INSERT", "x COPY rows", "x COPY text", "peak MiB"):
        table.add_column(title, justify="right")
    for name, rate in result["events_per_second"].items():
        table.add_row(
            name,
            f"{rate:,}",
            str(result["cpu_us_per_event"][name]),
            *(
                f"{result[ratios].get(name, 1.0):.2f}"
                for ratios in ("times_insert", "times_copy_of_rows", "times_copy_of_text")
            ),
            str(result["peak_memory_mib"].get(name, "")),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"Two cores did {result['two_cores']:.1f} times the work of one meanwhile.")


def _summarize(figures: dict[str, Figures], events: int) -> dict[str, Any]:
    rates = {name: statistics.median(each.rates) for name, each in figures.items()}

    def ratio(of: str, to: str) -> float:
        pairs = zip(figures[of].rates, figures[to].rates, strict=True)
        return round(statistics.median(a / b for a, b in pairs), 2)

    def ratios(to: str) -> dict[str, float]:
        return {name: ratio(name, to) for name in figures if name != to}

    return {
        "events": events,
        "events_per_second": {name: round(rate) for name, rate in rates.items()},
        "cpu_us_per_event": {
            name: round(statistics.median(each.cpu_us), 1) for name, each in figures.items()
        },
        "times_insert": ratios(INSERT),
        "times_copy_of_rows": ratios(ROW_COPY),
        "times_copy_of_text": ratios(PLAIN_COPY),
        "peak_memory_mib": {
            name: round(each.peak_mib) for name, each in figures.items() if each.peak_mib
        },
    }


PLAIN_COPY = "plain COPY of prepared text, same table"
"""What the server alone can take: no program works for these rows while it is measured."""
ROW_COPY = "plain COPY of Python rows, same table"
"""What a program reaches that has parsed and validated its events, and only writes them."""
BARE_COPY = "COPY, no indexes"
INSERT = "INSERT of 500, nine indexes"
MAIN = "process-batch"
MONTH = "process-batch, 31 days at once"
MONTH_COPY = "plain COPY, 31 days at once"


@dataclass
class _Bench:
    server: EmbeddedPostgres
    folder: Path
    live: list[Event]
    month: list[Event]
    made: int = 0

    def cases(self) -> list[Case]:
        live, month = parts(self.live, BATCH), parts(self.month, BATCH)
        checked = [(event, validate_json(orjson.dumps(event))) for event in self.live]
        inserts = [_values(*each) for each in checked[: max(len(checked) // 8, USUAL_BATCH)]]
        return [
            Case(PLAIN_COPY, lambda: self._copy(live, "events")),
            Case(MAIN, lambda: self._post(self.live)),
            Case(ROW_COPY, lambda: self._copy_rows(checked)),
            Case(INSERT, lambda: self._insert(inserts)),
            Case(BARE_COPY, lambda: self._copy(live, "bare")),
            Case(
                MAIN + ", one call at a time",
                lambda: self._post(self.live, concurrency=1),
                thorough=True,
            ),
            Case(
                MAIN + ", batches of 1000", lambda: self._post(self.live, batch=1000), thorough=True
            ),
            Case(MAIN + ", batches of 100", lambda: self._post(self.live[::3], batch=100)),
            Case(
                MAIN + ", 1% duplicates",
                lambda: self._post(self.live, duplicates=0.01),
                thorough=True,
            ),
            Case(
                MAIN + ", 50% duplicates",
                lambda: self._post(self.live, duplicates=0.5),
                thorough=True,
            ),
            Case(MAIN + ", 100% duplicates", lambda: self._post(self.live, duplicates=1.0)),
            Case(MAIN + ", 2 replicas", lambda: self._post(self.live, replicas=2), thorough=True),
            Case(
                MAIN + ", 2 replicas, a call each",
                lambda: self._post(self.live, replicas=2, concurrency=1),
                thorough=True,
            ),
            Case(MONTH_COPY, lambda: self._copy(month, "events")),
            Case(MONTH, lambda: self._post(self.month)),
            Case("compaction of rollup deltas", lambda: self._compact(live)),
            Case("compaction of rollup deltas, 31 days at once", lambda: self._compact(month)),
        ]

    @contextmanager
    def _database(self) -> Iterator[str]:
        self.made += 1
        name = f"bench_{self.made}"
        with psycopg.connect(self.server.url(database="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}".encode())
            connection.execute("CHECKPOINT")
            try:
                yield name
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def _copy(self, batches: list[list[EventRow]], table: str) -> Measured:
        texts = [[row.line for row in batch] for batch in batches]
        with self._database() as name, psycopg.connect(self.server.url(WRITER, name)) as connection:
            with psycopg.connect(self.server.url(database=name)) as owner:
                days = sorted({row.day for batch in batches for row in batch})
                owner.execute("SELECT ensure_partitions(%s::date[])", [days])
                owner.execute(NO_INDEX_SCHEMA)
                owner.execute("GRANT INSERT ON bare TO universe_writer")
            statement = f"COPY {table} ({COLUMNS}) FROM STDIN".encode()
            stopwatch = Stopwatch(self.server, [os.getpid()])
            for lines in texts:
                with connection.cursor().copy(statement) as copy:
                    copy.write("".join(lines))
                connection.commit()
            return stopwatch.stop(sum(map(len, texts)))

    def _copy_rows(self, events: list[tuple[Event, Event]]) -> Measured:
        """Write parsed and validated events as a program would that does nothing else."""
        with self._database() as name, psycopg.connect(self.server.url(WRITER, name)) as connection:
            days = sorted({event["timestamp"].date() for _, event in events})
            connection.execute("SELECT ensure_partitions(%s::date[])", [days])
            connection.commit()
            statement = f"COPY events ({ROW_COLUMNS}) FROM STDIN".encode()
            stopwatch = Stopwatch(self.server, [os.getpid()])
            for at in range(0, len(events), BATCH):
                with connection.cursor().copy(statement) as copy:
                    for raw, event in events[at : at + BATCH]:
                        copy.write_row((event["timestamp"].date(), *_values(raw, event)))
                connection.commit()
            return stopwatch.stop(len(events))

    def _compact(self, batches: list[list[EventRow]]) -> Measured:
        with self._database() as name:
            url = self.server.url(WRITER, name)
            with psycopg.connect(self.server.url(database=name)) as owner:
                days = sorted({row.day for batch in batches for row in batch})
                owner.execute("SELECT ensure_partitions(%s::date[])", [days])
            with psycopg.connect(url, autocommit=True) as connection:
                for batch in batches:
                    with connection.cursor().copy(
                        f"COPY rollup_deltas ({DELTAS}) FROM STDIN"
                    ) as copy:
                        copy.write("".join(delta_lines(batch)))
                stopwatch = Stopwatch(self.server, [os.getpid()])
                while (step := compact(connection)) and step.deltas:
                    pass
                return stopwatch.stop(sum(map(len, batches)))

    def _insert(self, values: list[tuple[Any, ...]]) -> Measured:
        row = f"({', '.join(['%s'] * len(values[0]))})"
        with (
            self._database() as name,
            psycopg.connect(self.server.url(database=name)) as connection,
        ):
            connection.execute(USUAL_SCHEMA.read_bytes())
            connection.commit()
            stopwatch = Stopwatch(self.server, [os.getpid()])
            for at in range(0, len(values), USUAL_BATCH):
                part = values[at : at + USUAL_BATCH]
                connection.execute(
                    f"INSERT INTO usual VALUES {', '.join([row] * len(part))}"
                    " ON CONFLICT DO NOTHING".encode(),
                    [value for each in part for value in each],
                )
                connection.commit()
            return stopwatch.stop(len(values))

    def _post(
        self,
        events: list[Event],
        batch: int = BATCH,
        duplicates: float = 0,
        replicas: int = 1,
        concurrency: int = CONCURRENCY,
    ) -> Measured:
        with self._database() as name, ExitStack() as stack:
            url = self.server.url(WRITER, name)
            functions = [
                stack.enter_context(
                    running(
                        "functions.process_batch.handler",
                        self.folder / f"{name}-{number}.log",
                        DATABASE_URL=url,
                    )
                )
                for number in range(replicas)
            ]
            for function in functions:  # connections, caches and partitions of the first batch
                _send(function, _bodies(_renamed(events[::97], "warm"), 100))
            known = random.Random(1).sample(events, int(len(events) * duplicates))
            if known:
                _send(functions[0], _bodies(known, BATCH))
            bodies = _bodies(events, batch)
            shares = [bodies[at::replicas] for at in range(replicas)]
            stopwatch = Stopwatch(self.server, [each.process.pid for each in functions])
            with ThreadPoolExecutor(replicas * concurrency) as threads:
                work = [
                    threads.submit(_send, function, share[at::concurrency])
                    for function, share in zip(functions, shares, strict=True)
                    for at in range(concurrency)
                ]
                for each in work:
                    each.result()
            measured = stopwatch.stop(len(events), max(map(_peak_mib, functions)))
            _verify(self.server.url(database=name), len(events) + len(events[::97]))
            return measured


@contextmanager
def _bench(events: int) -> Iterator[_Bench]:
    folder = Path(tempfile.mkdtemp(prefix="universe-bench-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres")
    try:
        server.start()
        server.ensure_database(_TEMPLATE)
        migrate(server.url(database=_TEMPLATE))
        server.set_role_passwords()
        live = _with_uuids(each.event for each in generate(events, 1, Mix(days=0.005)))
        month = _with_uuids(each.event for each in generate(events, 2, Mix(days=31)))
        random.Random(1).shuffle(month)
        # as in process-batch: compaction is measured in this process, which holds far more objects
        gc.freeze()
        gc.set_threshold(200_000, 10, 10)
        yield _Bench(server, folder, live, month)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _values(event: Event, checked: Event) -> tuple[Any, ...]:
    at = event["timestamp"]
    names = ("source", "funnelStage", "eventType")
    return (
        *(event["eventId"], at, at),
        *(event[name] for name in names),
        *columns(checked),
        Jsonb(event["data"], dumps=orjson.dumps),
    )


def _with_uuids(events: Iterable[Event]) -> list[Event]:
    """Give events ids as producers do: in no order, which is what a unique index finds hard."""
    rng = random.Random(3)
    return [event | {"eventId": str(UUID(int=rng.getrandbits(128)))} for event in events]


def _renamed(events: list[Event], prefix: str) -> list[Event]:
    return [event | {"eventId": f"{prefix}-{event['eventId']}"} for event in events]


def _bodies(events: list[Event], batch: int) -> list[bytes]:
    return [_body(events[at : at + batch]) for at in range(0, len(events), batch)]


def _body(events: list[Event]) -> bytes:
    """Return a request as the connector makes it, of messages of 500 events."""
    return orjson.dumps(
        [
            {
                "specversion": "1.0",
                "id": f"EVENTS:{at}",
                "source": "/jetstream/EVENTS/process-batch",
                "type": "universe.jetstream.message",
                "subject": "events.mixed",
                "datacontenttype": "application/json",
                "data": events[at : at + 500],
            }
            for at in range(0, len(events), 500)
        ]
    )


def _send(function: Function, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection(urlsplit(function.url).netloc, timeout=120)
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    for body in bodies:
        connection.request("POST", "/", body, headers | signed(body))
        answer = connection.getresponse()
        content = answer.read()
        assert (answer.status, content) == (200, b""), (answer.status, content[:300])
    connection.close()


def _verify(url: str, expected: int) -> None:
    with psycopg.connect(url) as connection:
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM events), (SELECT sum(events) FROM live_hour_countries)"
        ).fetchone()
    assert counted == (expected, expected), counted


def _peak_mib(function: Function) -> float:
    """Return the most memory the replica and its workers ever had, in MiB."""
    status = Path("/proc")
    pids = [str(function.process.pid)]
    for task in (status / pids[0] / "task").glob("*/children"):
        pids += task.read_text().split()
    return max(_high_water_mib(pid) for pid in pids)


def _high_water_mib(pid: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0
