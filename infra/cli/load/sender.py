"""Posts events to ingest at a given rate, or as fast as they are accepted."""

import asyncio
import gzip
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import aiohttp
import orjson

from functions.common.backoff import Backoff
from infra.cli.load.event_generator import Generated

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
BACKOFF = Backoff.exponential(0.1, 10.0, jitter=0.0)
NO_RESPONSE_TIMEOUT = 10.0
"""Seconds of retries for a service that has never responded, so its URL is probably wrong."""
REQUEST_TIMEOUT = 120.0


@dataclass(frozen=True)
class LoadPlan:
    """How to send.

    Attributes:
        url: where events are posted.
        batch: events in a request; 1: each request is one JSON object instead of an array.
        rate: events per second, 0 for no limit.
        concurrency: requests at the same time.
        compress: gzip the bodies.
        headers: sent with each request.
        retry_timeout: seconds for which one request is retried while the service is unavailable.
    """

    url: str
    batch: int = 500
    rate: float = 0.0
    concurrency: int = 4
    compress: bool = False
    headers: dict[str, str] = field(default_factory=dict[str, str])
    retry_timeout: float = 120.0


@dataclass
class Summary:
    """The results; `latencies` are seconds per answered request, in no order."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    retries: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[int] = field(default_factory=Counter[int])
    reasons: Counter[str] = field(default_factory=Counter[str])
    latencies: list[float] = field(default_factory=list[float])
    error: str | None = None

    @property
    def per_second(self) -> float:
        """Events answered per second."""
        return self.sent / self.seconds if self.seconds else 0.0

    def latency(self, quantile: float) -> float:
        """Return a quantile (0 to 1) of the latencies in seconds; 0 without any."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0.0


def _no_progress(count: int) -> None:
    """Report nothing."""


async def send_events(
    events: Iterator[Generated],
    plan: LoadPlan,
    on_progress: Callable[[int], None] = _no_progress,
) -> Summary:
    """Send the events, and return the results.

    A request that the service refuses for now (429, 502, 503, 504, no connection) is sent again
    with the same events, which is safe: each event is stored once.

    Args:
        events: what to send.
        plan: how to send it.
        on_progress: called with the number of events of each request that is finished.
    """
    summary = Summary()
    started = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=plan.concurrency)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:

        async def send_batches() -> None:
            while batch := list(islice(events, plan.batch)):
                if plan.rate:
                    due = started + summary.sent / plan.rate
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                summary.sent += len(batch)
                summary.kinds.update(each.kind for each in batch)
                await _send(session, batch, plan, summary)
                on_progress(len(batch))

        await asyncio.gather(*(send_batches() for _ in range(plan.concurrency)))
    summary.seconds = time.monotonic() - started
    return summary


async def _send(
    session: aiohttp.ClientSession, batch: list[Generated], plan: LoadPlan, summary: Summary
) -> None:
    events = [each.event for each in batch]
    body = orjson.dumps(events[0] if plan.batch == 1 else events)
    headers = {"Content-Type": "application/json", **plan.headers}
    if plan.compress:
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    first_attempt = time.monotonic()
    failures = 0
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
        limit = plan.retry_timeout if any(summary.statuses) else NO_RESPONSE_TIMEOUT
        refused = status and status not in RETRIED_STATUSES
        if refused or time.monotonic() - first_attempt > limit:
            summary.failed += len(batch)
            if status:
                summary.error = _refusal(status, text, plan.url)
            return
        summary.retries += 1
        failures += 1
        wait = float(retry_after) if retry_after.isdigit() else BACKOFF.delay(failures)
        await asyncio.sleep(wait)


def _refusal(status: int, text: bytes, url: str) -> str:
    """Say why a request was not accepted, and where events are posted if it was not there."""
    said = f"HTTP {status}: {text[:300].decode(errors='replace').strip()}".rstrip(": ")
    if status not in (404, 405):
        return said
    return (
        f"{said}; {url} is not where events are posted: at a gateway that is "
        "/function/ingest/webhook/event, at ingest itself /webhook/event"
    )


def _count(text: bytes, sent: int, summary: Summary) -> None:
    try:
        response = orjson.loads(text)
        accepted, rejected = response["accepted"], response["rejected"]
        rejected_count = response.get("rejectedCount", len(rejected))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        summary.failed += sent
        summary.error = "the response is not that of ingest: check the URL"
        return
    summary.accepted += accepted
    summary.rejected += rejected_count
    if rejected_count > len(rejected):  # only the first hundred are told one by one
        summary.reasons["not told by ingest"] += rejected_count - len(rejected)
    for each in rejected:
        first = each["errors"][0]
        path = ".".join(str(step) for step in first["loc"])
        summary.reasons[f"{path}: {first['msg']}" if path else first["msg"]] += 1
