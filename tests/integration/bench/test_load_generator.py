"""The load generator and the processor time of parts, which `bench e2e` stands on."""

import subprocess
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.bench.e2e import templates
from tests.bench.e2e.load import Load, run
from tests.bench.e2e.parts import Tree
from tests.support.net import wait_until


async def test_every_event_is_sent_once(tmp_path: Path) -> None:
    file = tmp_path / "templates"
    templates.write(file, 60, 20, days=30)
    ids: list[str] = []

    async def take(request: web.Request) -> web.Response:
        assert request.headers["X-Api-Key"] == "k"
        ids.extend(event["eventId"] for event in await request.json())
        return web.Response(status=503 if len(ids) % 3 == 0 else 202, body=b"x" * (len(ids) % 9))

    app = web.Application()
    app.router.add_post("/webhook", take)
    async with TestServer(app) as server:
        url = str(server.make_url("/webhook"))
        first = await run(Load(url, str(file), 0.1, 4, 0, {"X-Api-Key": "k"}))
        more = await run(Load(url, str(file), 0.1, 4, first.requests, {"X-Api-Key": "k"}))
    assert len(set(ids)) == len(ids) == 20 * (first.requests + more.requests)
    assert first.accepted + sum(first.refused.values()) == first.requests
    assert set(first.refused) <= {503}
    assert 0 < first.p50 <= first.p99


def test_processor_time_belongs_to_the_part_that_took_it() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    worker = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {burn!r}])"
    root = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-S', '-c', {worker + '; input()'!r}, 'worker'])"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", root], stdin=subprocess.PIPE) as process:
        tree = Tree(
            process.pid, "root", lambda _, command, __: "worker" if "worker" in command else ""
        )
        before = tree.snapshot()
        # its child's time is its own part's, while the child runs and after it has ended
        wait_until(lambda: tree.snapshot().since(before).get("worker", 0.0) >= 0.3)
        assert tree.snapshot().since(before).get("root", 0.0) < 0.3
        process.communicate(b"\n")
