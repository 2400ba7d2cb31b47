"""The load generator: events over HTTP to ingest, as fast as asked."""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import aiohttp
import orjson

from infra.cli.generate import Generated

RETRIED = frozenset({429, 502, 503, 504})
LONGEST_WAIT = 10.0
NEVER_ANSWERED_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """How to send.

    Attributes:
        url: where events are posted.
        batch: events in a request; with 1 each is a JSON object of its own.
        rate: events per second, 0 for as fast as they are taken.
        concurrency: requests at the same time.
        compress: gzip the bodies.
        headers: sent with each request.
        give_up: seconds for which one request is tried again while the service is away.
    """

    url: str
    batch: int = 500
    rate: float = 0.0
    concurrency: int = 4
    compress: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    give_up: float = 120.0


@dataclass
class Summary:
    """What came of it; `latencies` are seconds per answered request, in no order."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    retries: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def per_second(self) -> float:
        """Events answered in a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    def latency(self, quantile: float) -> float:
        """Return a quantile (0 to 1) of the latencies in seconds; 0 where there is none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0.0


async def publish(
    events: Iterator[Generated], plan: Plan, progress: Callable[[int], None] = lambda _: None
) -> Summary:
    """Send the events, and return what became of them.

    A request that the service does not take for the moment (429, 502, 503, 504, no connection) is
    sent again with the same events, which does no harm: each is stored once.

    Args:
        events: what to send.
        plan: how.
        progress: called with the number of events of each request that has been answered.
    """
    summary = Summary()
    started = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=plan.concurrency)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def work() -> None:
            while batch := list(islice(events, plan.batch)):
                if plan.rate:
                    due = started + summary.sent / plan.rate
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                summary.sent += len(batch)
                summary.kinds.update(each.kind for each in batch)
                await _send(session, batch, plan, summary)
                progress(len(batch))

        await asyncio.gather(*(work() for _ in range(plan.concurrency)))
    summary.seconds = time.monotonic() - started
    return summary


async def _send(
    session: aiohttp.ClientSession, batch: list[Generated], plan: Plan, summary: Summary
) -> None:
    events = [each.event for each in batch]
    body = orjson.dumps(events[0] if plan.batch == 1 else events)
    headers = {"Content-Type": "application/json", **plan.headers}
    if plan.compress:
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    begun = time.monotonic()
    wait = 0.1
    while True:
        started = time.perf_counter()
        try:
            async with session.post(plan.url, data=body, headers=headers) as response:
                text = await response.read()
                status = response.status
                retry_after = response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError) as error:
            status, text, retry_after = 0, b"", ""
            summary.error = str(error) or type(error).__name__
        summary.statuses[status] += 1
        if status in (202, 422):
            summary.latencies.append(time.perf_counter() - started)
            _count(text, len(batch), summary)
            return
        # who never answered is more likely not there than away for a moment
        patience = plan.give_up if any(summary.statuses) else NEVER_ANSWERED_SECONDS
        if (status and status not in RETRIED) or time.monotonic() - begun > patience:
            summary.failed += len(batch)
            if status:
                summary.error = f"HTTP {status}: {text[:300].decode(errors='replace')}"
            return
        summary.retries += 1
        await asyncio.sleep(float(retry_after) if retry_after.isdigit() else wait)
        wait = min(LONGEST_WAIT, wait * 2)


def _count(text: bytes, sent: int, summary: Summary) -> None:
    try:
        answer = orjson.loads(text)
        accepted, rejected = answer["accepted"], answer["rejected"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        summary.failed += sent
        summary.error = "the answer is not ingest's: is the URL right?"
        return
    summary.accepted += accepted
    summary.rejected += len(rejected)
    for each in rejected:
        first = each["errors"][0]
        path = ".".join(str(step) for step in first["loc"])
        summary.reasons[f"{path}: {first['msg']}" if path else first["msg"]] += 1
