"""The README's way from nothing to the first batch, on plain HTTP, taken out of the page."""

import re
from pathlib import Path

from nats.aio.client import Client

from tests.support.connector import ConnectorProcess
from tests.support.net import free_port, wait_until
from tests.support.process import Process
from tests.support.quick_start import QuickStart


async def test_a_plain_http_service_gets_its_first_batch(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    page = QuickStart.of("A plain HTTP service")
    port = str(free_port())
    service = tmp_path / "service.py"
    service.write_text(page.blocks["python"][0].replace("8000", port))
    settings = page.connector_settings()
    settings["FUNCTION_URL"] = settings["FUNCTION_URL"].replace("8000", port)

    js = nc.jetstream()
    await page.add_stream(js)
    log = tmp_path / "service.log"
    with (
        Process([str(service)], log, {}).start(),
        ConnectorProcess(tmp_path, nats_url, **settings) as connector,
    ):
        connector.start().bound()
        count = await page.publish(js)
        wait_until(lambda: len(re.findall(r"{'id': \d}", log.read_text())) == count)
    assert "messages: {'id': 1}" in log.read_text()
