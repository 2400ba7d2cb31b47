"""The README's way from nothing to the first batch, on Knative, taken out of the page.

The chart says what the connector's container gets, and Knative's part is a service's URL.
"""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from nats.aio.client import Client

from functions.common.paths import ROOT
from tests.support.connector import ConnectorProcess
from tests.support.manifests import check
from tests.support.net import free_port, wait_until
from tests.support.process import Process
from tests.support.quick_start import QuickStart
from tests.support.tools import tool

PAGE = QuickStart.of("Knative")


def deployment(*arguments: str) -> dict[str, Any]:
    """Return the connector's, as the chart renders it."""
    command = [str(tool("helm")), "template", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [rendered] = [each for each in yaml.safe_load_all(done.stdout) if each]
    check(rendered)
    return rendered


@pytest.mark.slow
@pytest.mark.parametrize("way", ["by its name", "by a SinkBinding"])
async def test_a_knative_service_gets_its_first_batch(
    way: str, nc: Client, nats_url: str, tmp_path: Path
) -> None:
    arguments = shlex.split(PAGE.command("helm install "))[2:]
    port = str(free_port())
    url = f"http://127.0.0.1:{port}/"
    [binding] = map(yaml.safe_load, PAGE.blocks["yaml"])
    check(binding)
    sink: dict[str, str] = {}
    if way == "by a SinkBinding":
        at = next(n for n, each in enumerate(arguments) if each.startswith("function.url="))
        del arguments[at - 1 : at + 1]
        sink = {"K_SINK": url}
    rendered = deployment(*arguments)
    if sink:
        subject = binding["spec"]["subject"]
        assert subject["name"] == rendered["metadata"]["name"]
        assert (subject["apiVersion"], subject["kind"]) == ("apps/v1", "Deployment")
    [container] = rendered["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given.pop("NATS_URL") == "nats://nats.default:4222"
    name = shlex.split(PAGE.command("kn service create "))[3]
    if not sink:
        assert given["FUNCTION_URL"] == f"http://{name}.default.svc.cluster.local/"
        given["FUNCTION_URL"] = url
    service = tmp_path / "service.py"
    [text] = QuickStart.of("A plain HTTP service").blocks["python"]
    service.write_text(text.replace("8000", port))

    js = nc.jetstream()
    await PAGE.add_stream(js)
    log = tmp_path / "service.log"
    with (
        Process([str(service)], log, {}).start(),
        ConnectorProcess(tmp_path, nats_url, **given, **sink) as connector,
    ):
        connector.start().bound()
        [bound] = connector.bindings()
        assert bound["consumer"] == rendered["metadata"]["name"]
        count = await PAGE.publish(js)
        wait_until(lambda: len(re.findall(r"{'id': \d}", log.read_text())) == count)
