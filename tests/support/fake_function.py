"""A function that does what its events and a mode file tell it, as a process of its own.

`python -m tests.support.fake_function PORT JOURNAL MODE`. An event `{"eventId": "a", "do": "kill"}`
makes it kill itself when it is given that event; see below for what else there is to do. Each call
and each message that it is done with is a line of the journal, which outlives the process.
"""

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

BATCH = "application/cloudevents-batch+json"


class _Function:
    def __init__(self, journal: Path, mode: Path) -> None:
        self._mode = mode
        self._seen: Counter[str] = Counter()
        self._inflight = 0
        if journal.exists():
            for line in journal.read_text().splitlines():
                self._seen.update(json.loads(line).get("ids", ()))
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _write(self, **entry: Any) -> None:
        os.write(self._journal, json.dumps({"time": time.time(), **entry}).encode() + b"\n")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.content_type == BATCH:
            messages = [(e["id"], e.get("data", e.get("data_base64"))) for e in json.loads(body)]
        else:
            try:
                data = json.loads(body)
            except ValueError:
                data = body.decode("latin-1")
            messages = [(request.headers.get("ce-id", "none"), data)]
        ids = [name for name, _ in messages]
        mode = self._read_mode()
        if self._inflight >= mode.get("takes", math.inf):
            self._write(refused=ids)
            return web.Response(status=429, headers=mode.get("headers", {}), text="too many")
        self._write(
            ids=ids,
            pid=os.getpid(),
            headers=dict(request.headers),
            body=body[:20_000].decode(),
            inflight=self._inflight + 1,
        )
        self._seen.update(ids)
        self._inflight += 1
        try:
            answer = await self._follow_mode(mode, request)
            if answer is None:
                answer = await self._act(request, messages)
        finally:
            self._inflight -= 1
        return answer

    def _read_mode(self) -> dict[str, Any]:
        try:
            return json.loads(self._mode.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    async def _follow_mode(
        self, mode: dict[str, Any], request: web.Request
    ) -> web.StreamResponse | None:
        if mode.get("delay"):
            await asyncio.sleep(mode["delay"])
        while mode.get("until") and not Path(mode["until"]).exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
        if mode.get("drop"):
            return _drop(request)
        if mode.get("status"):
            return web.Response(status=mode["status"], headers=mode.get("headers", {}), text="mode")
        return None

    async def _act(
        self, request: web.Request, messages: list[tuple[str, Any]]
    ) -> web.StreamResponse:
        failures: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        done: dict[str, list[str]] = {}
        for name, data in messages:
            good: list[str] = []
            failure: dict[str, Any] = {}
            for index, event in enumerate(data if isinstance(data, list) else [data]):
                event_id, do = self._read(name, event)
                answer = await _misbehave(do, name, request)
                if answer is not None:
                    return answer
                if do.startswith("result:"):
                    result = {"of": event_id, "says": do.removeprefix("result:")}
                    results.append({"itemIdentifier": name, "data": result})
                    do = ""
                failure |= _failure(do, index, event_id, failure)
                if not do:
                    good.append(event_id)
            if failure:
                failures.append({"itemIdentifier": name, **failure})
            if not failure or "events" in failure:
                done[name] = good
        self._write(done=done)
        answer = {"batchItemFailures": failures, "batchItemResults": results}
        return web.json_response(answer) if failures or results else web.Response()

    def _read(self, name: str, event: Any) -> tuple[str, str]:
        if not isinstance(event, dict):
            return str(event), ""
        do = event.get("do", "")
        if do.startswith("once:"):
            do = do.removeprefix("once:") if self._seen[name] == 1 else ""
        return event.get("eventId", "?"), do


async def _misbehave(do: str, name: str, request: web.Request) -> web.StreamResponse | None:
    """Do what befalls the whole call."""
    kind, _, value = do.partition(":")
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            await asyncio.sleep(3600)
        case "drop":
            return _drop(request)
        case "status":
            return web.Response(status=int(value), text=f"no {name}")
        case "answer":
            return web.Response(text=value)
        case "says":
            disposition, _, after = value.partition(":")
            headers = {"Universe-Disposition": disposition, "Universe-Reason": "told so"}
            return web.Response(headers=headers | ({"Retry-After": after} if after else {}))
    return None


def _failure(do: str, index: int, event_id: str, failure: dict[str, Any]) -> dict[str, Any]:
    """Return what to say about a message because of one of its events."""
    kind, _, value = do.partition(":")
    match kind:
        case "retry":
            return {"reason": "again, please", **({"retryAfter": float(value)} if value else {})}
        case "dead":
            dead = {"index": index, "eventId": event_id, "reason": "told to refuse"}
            return {"disposition": "dead", "events": [*failure.get("events", []), dead]}
        case "dead-message":
            return {"disposition": "dead", "reason": "all of it"}
    return {}


def _drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def main() -> None:
    """Serve until SIGTERM."""
    port, journal, mode = sys.argv[1:4]
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", _Function(Path(journal), Path(mode)).handle)
    web.run_app(
        app, host="127.0.0.1", port=int(port), print=None, access_log=None, shutdown_timeout=0.5
    )


if __name__ == "__main__":
    main()
