"""The README's way from nothing to the first batch, on plain HTTP, taken out of the page."""

import re
from pathlib import Path

from nats.aio.client import Client

from functions.common.paths import ROOT
from tests.support.connector import ConnectorProcess
from tests.support.net import free_port, wait_until
from tests.support.process import Process

PAGE = (ROOT / "infra/connector/README.md").read_text()
SECTION = PAGE.partition("### A plain HTTP service\n")[2].partition("\n### ")[0]
BLOCKS = dict(re.findall(r"```(python|sh)\n(.*?)```", SECTION, re.S))


async def test_a_plain_http_service_gets_its_first_batch(
    nc: Client, nats_url: str, tmp_path: Path
) -> None:
    commands = BLOCKS["sh"].replace("\\\n", " ")
    port = str(free_port())
    service = tmp_path / "service.py"
    service.write_text(BLOCKS["python"].replace("8000", port))
    stream, subjects = re.findall(r"nats stream add (\w+) --subjects '(.+?)'", commands)[0]
    settings = dict(re.findall(r"-e (\w+)='?([^' ]+)'?", commands))
    subject, payload, count = re.findall(r"nats pub (\S+) '(.+)' --count (\d+)", commands)[0]
    assert settings.pop("NATS_URL") == "nats://127.0.0.1:4222"
    settings["FUNCTION_URL"] = settings["FUNCTION_URL"].replace("8000", port)

    js = nc.jetstream()
    await js.add_stream(name=stream, subjects=[subjects], retention="workqueue")
    log = tmp_path / "service.log"
    with (
        Process([str(service)], log, {}).start(),
        ConnectorProcess(tmp_path, nats_url, **settings) as connector,
    ):
        connector.start().bound()
        for number in range(1, int(count) + 1):
            await js.publish(subject, payload.replace("{{Count}}", str(number)).encode())
        wait_until(lambda: len(re.findall(r"{'id': \d}", log.read_text())) == int(count))
    assert "messages: {'id': 1}" in log.read_text()
