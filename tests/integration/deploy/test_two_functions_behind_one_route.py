"""`ingest` twice behind nginx, as docs/deploy.md has it: no request of a sender is lost."""

import asyncio
import json
import re
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import nats
import pytest

from functions.common.paths import ROOT
from tests.support.fakes import FakeGateway
from tests.support.functions import Function, running
from tests.support.net import free_port, plain_http, wait_until
from tests.support.stored_events import generated
from tests.support.tied_process import TiedProcess

SENDERS = 4
NAMES = ("ingest", "ingest-b")
AROUND = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{page}
}}
"""


@contextmanager
def nginx(folder: Path, gateway_port: int) -> Iterator[str]:
    """Run nginx with what the page says, on other ports; give the address for senders."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    page = (ROOT / "docs/deploy.md").read_text()
    [block] = re.findall(r"```nginx\n((?:(?!```).)*proxy_next_upstream.*?)```", page, re.S)
    ports = {"8080": gateway_port, **{each: free_port() for each in ("8090", "8091", "8092")}}
    for old, new in ports.items():
        block = re.sub(rf"(:|listen ){old}\b", rf"\g<1>{new}", block)
    config = folder / "nginx.conf"
    config.write_text(AROUND.format(folder=folder, page=block))
    process = TiedProcess([program, "-p", str(folder), "-c", str(config)])
    try:
        url = f"http://127.0.0.1:{ports['8090']}"
        wait_until(lambda: process.poll() is not None or answers(url))
        assert process.poll() is None, (folder / "error.log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return bool(plain_http.get(url, timeout=5))
    except httpx.TransportError:
        return False


class Senders:
    """Send one event in each request, and none of them again."""

    def __init__(self, url: str) -> None:
        self._url = url + "/webhook/event"
        self._events = iter(generated(20_000))
        self._over = threading.Event()
        self.statuses: Counter[str] = Counter()
        self.sent: set[str] = set()

    def run(self) -> None:
        """Send until it is over."""
        with httpx.Client(verify=False, timeout=60) as client:
            while not self._over.is_set():
                event = next(self._events)
                self.sent.add(event["eventId"])
                try:
                    status = str(client.post(self._url, json=event).status_code)
                except httpx.TransportError as error:
                    status = repr(error)
                self.statuses[status] += 1

    def go_on(self) -> None:
        """Wait until some more requests are answered."""
        before = self.statuses.total()
        wait_until(lambda: self.statuses.total() >= before + 10 * SENDERS)

    def stop(self) -> None:
        """Have them end."""
        self._over.set()


@pytest.mark.slow
def test_no_request_is_lost_though_the_network_is_cut_first(tmp_path: Path, nats_url: str) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(FakeGateway(tmp_path).start().ready())
        started = 0

        def start() -> Function:
            nonlocal started
            started += 1
            settings = {"NATS_URL": nats_url, "MAX_EVENT_AGE_DAYS": "0"}
            log = tmp_path / f"{started}.log"
            return stack.enter_context(running("functions.ingest.handler", log, **settings))

        functions = {name: start() for name in NAMES}

        def serve(*names: str) -> None:
            gateway.serve(*({"name": name, "url": functions[name].url} for name in names))

        serve(*NAMES)
        url = stack.enter_context(nginx(tmp_path, gateway.port))
        senders = Senders(url)
        threads = [threading.Thread(target=senders.run, daemon=True) for _ in range(SENDERS)]
        for each in threads:
            each.start()
        for name in NAMES:
            senders.go_on()
            functions[name].process.kill()  # in the middle of requests
            senders.go_on()
            [other] = set(NAMES) - {name}
            serve(other)  # while the engine makes the new one, it knows none
            direct = f"{gateway.url}/function/{name}/webhook/event"
            assert plain_http.post(direct, content=b"{}").status_code == 404
            senders.go_on()
            functions[name] = start()
            serve(*NAMES)
        senders.go_on()
        senders.stop()
        for each in threads:
            each.join(60)
        assert senders.statuses.keys() == {"202"}, senders.statuses
        assert asyncio.run(published(nats_url)) == senders.sent


async def published(nats_url: str) -> set[str]:
    """Return the ids of the events in the stream."""
    nc = await nats.connect(nats_url)
    js = nc.jetstream()
    state = (await js.stream_info("EVENTS")).state
    ids: set[str] = set()
    for sequence in range(state.first_seq, state.last_seq + 1):
        data = json.loads((await js.get_msg("EVENTS", sequence)).data or b"[]")
        ids |= {each["eventId"] for each in (data if isinstance(data, list) else [data])}
    await nc.close()
    return ids
