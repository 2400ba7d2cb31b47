"""`/system/logs`: the output of a function's replicas, as newline-delimited JSON."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from infra.local.functions.registry import Registry
from infra.local.gateway.http_io import text_error
from infra.local.process.logfile import LogFile, LogLine

_BLOCK = 500


@dataclass(frozen=True)
class LogQuery:
    """Which lines are requested."""

    instance: str = ""
    since: datetime | None = None
    tail: int = 0
    """The number of stored lines, counted from the end; 0 or less: all."""
    follow: bool = False
    """Whether new lines follow until the client disconnects."""


def read_query(request: web.Request) -> LogQuery:
    """Read the query string. Raises ValueError."""
    query = request.query
    since = datetime.fromisoformat(query["since"]) if query.get("since") else None
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return LogQuery(
        instance=query.get("instance", ""),
        since=since,
        tail=int(query.get("tail") or 0),
        follow=query.get("follow", "").lower() in {"1", "t", "true"},
    )


async def matching_lines(log: LogFile, query: LogQuery) -> AsyncIterator[list[LogLine]]:
    """Yield blocks of lines: the stored ones, then with `follow` new ones as they are written."""
    new = log.follow()
    try:
        stored = log.stored()  # in the same turn of the event loop: no line is missed or doubled
        lines = await asyncio.to_thread(
            _select, stored.read(query.since, query.instance), query.tail
        )
        for start in range(0, len(lines), _BLOCK):
            yield lines[start : start + _BLOCK]
        while query.follow:
            line = await new.get()
            if line is None:
                return
            if query.instance in {"", line.instance}:
                yield [line]
    finally:
        log.unfollow(new)


def _select(lines: Iterator[LogLine], tail: int) -> list[LogLine]:
    return list(deque(lines, tail if tail > 0 else None))


class LogRoutes:
    """Handler of the logs."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """GET /system/logs?name=NAME[&tail=N][&since=TIME][&follow=true][&instance=REPLICA]."""
        name = request.query.get("name", "")
        function = self._registry.find(name)
        if function is None:
            return text_error(404, f"function {name} not found")
        try:
            query = read_query(request)
        except ValueError as error:
            return text_error(422, f"could not parse the log request: {error}")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(b"")
        async for lines in matching_lines(function.log, query):
            await response.write(b"".join(self._message(function.name, line) for line in lines))
        return response

    def _message(self, name: str, line: LogLine) -> bytes:
        message = {
            "name": name,
            "namespace": self._registry.settings.namespace,
            "instance": line.instance,
            "timestamp": line.time.isoformat().replace("+00:00", "Z"),
            "text": line.text,
        }
        return json.dumps(message, ensure_ascii=False).encode() + b"\n"
