"""The page's commands for OpenFaaS, all of them, by the real faas-cli; what it asks is recorded.

`faas_cli_contract.json` has its requests and what the provider answered. They are sent again in
every run, by `test_provider_contract.py`; here faas-cli says whether these are its requests still.
"""

import asyncio
import json
import os
import re
import shutil
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from functions.common.paths import ROOT
from infra.local.api_models import FunctionDeployment
from infra.local.functions.handler_resolver import HANDLER_ANNOTATION
from infra.local.functions.stack import read_stack
from scripts.page_commands import commands, section
from tests.support.local_gateway import HANDLERS, running_gateway
from tests.support.manifests import copy
from tests.support.recording_proxy import Exchange, recording
from tests.support.tools import tool

CONTRACT = Path(__file__).with_name("faas_cli_contract.json")
PAGE = (ROOT / "docs/deploy.md").read_text()
CLIENT = "faas-cli 0.18.12"
HOW = (
    "between faas-cli and infra/local, by test_faas_cli_by_the_page.py: the commands of "
    "docs/deploy.md; `<string>` and such stand for what differs"
)
IMAGES = {"REGISTRY": "registry.example/team", "TAG": "0.1.0"}
FUNCTIONS = ("ingest", "process_batch", "analytics_query")
FOR_PRODUCTION = ["postgres-ca"]
"""A line for the other overlay, in place of a file of this one."""
AFTERWARDS = """
set -eu
faas-cli list
faas-cli list -v
faas-cli describe process-batch
printf hello | faas-cli invoke analytics-query
faas-cli logs analytics-query --tail=false
faas-cli secret list
faas-cli remove -f stack.yml
faas-cli remove ingest-b
faas-cli secret remove database-ca
"""

KUBECTL = """#!/bin/sh
# what a cluster would answer to the page's lines
case "$*" in
*"get secret basic-auth -o yaml"*) printf 'metadata:\\n  namespace: openfaas\\n  uid: 1\\n' ;;
*"get secret basic-auth -o jsonpath"*) printf %s "$GATEWAY_PASSWORD" | base64 ;;
*"get secret postgres-ca"*) echo 'the certificate of an operator' | base64 ;;
*" -f -"*) cat ;;
*"apply -k"*) test -f "$3/kustomization.yaml" ;;
esac
"""
FAAS_CLI = """#!/bin/sh
printf '%s\\n' "faas-cli $*" >> "$COMMANDS"
exec "$FAAS_CLI" "$@"
"""


@dataclass(frozen=True)
class Shell:
    """A shell in a folder, with faas-cli and a cluster's kubectl.

    Attributes:
        folder: where commands are run.
        environment: variables.
    """

    folder: Path
    environment: dict[str, str]

    async def run(self, script: str) -> str:
        """Run commands, of which none may fail, and return what they wrote."""
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, said.decode()
        return said.decode()


def users_copy(folder: Path) -> Path:
    """Return a copy of what the commands use, whose functions say what they were asked."""
    copy(folder, secrets=False)
    for name in ("stack.yml", "templates"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "template").symlink_to("templates")
    for name in FUNCTIONS:
        shutil.copytree(ROOT / HANDLERS / "echo", folder / name)
    event = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[0]
    (folder / "event.json").write_text(event)
    (folder / "bin").mkdir()
    for name, text in {"kubectl": KUBECTL, "faas-cli": FAAS_CLI}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder


def last_line(file: Path) -> str:
    return file.read_text().splitlines()[-1] if file.exists() else ""


async def test_the_page_s_commands_work_and_ask_what_is_recorded(
    tmp_path: Path, nats_url: str
) -> None:
    program = tool("faas-cli")
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    folder, ran = users_copy(tmp_path / "copy"), tmp_path / "commands"
    async with (
        running_gateway(tmp_path / "state", root=folder, nats_url=nats_url) as gateway,
        recording(gateway.url, lambda: last_line(ran)) as proxy,
    ):
        shell = Shell(
            folder,
            {
                "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "FAAS_CLI": str(program),
                "COMMANDS": str(ran),
                "HOME": str(tmp_path),
                "OPENFAAS_CONFIG": str(tmp_path / "config"),
                "OPENFAAS_URL": proxy.url,
                "GATEWAY_PASSWORD": gateway.server.password or "",
                **IMAGES,
            },
        )
        openfaas = section(PAGE, "OpenFaaS on Kubernetes")
        said = await shell.run(commands(openfaas, FOR_PRODUCTION))
        assert said.count("Deployed. 202 Accepted") == len(FUNCTIONS)
        assert said.count("Deployed. 200 OK") == len(FUNCTIONS), "once more, to go to zero"
        secrets = folder / "infra/kubernetes/overlays/single-node/secrets/functions"
        event, report = [json.loads(each.answer) for each in proxy.exchanges if by_curl(each)]
        assert json.loads(event["body"]) == json.loads((folder / "event.json").read_text())
        assert report["rawPath"] == "/analytics/overview"
        for sent, key in ((event, "ingest-api-key"), (report, "analytics-api-key")):
            assert ["x-api-key", (secrets / key).read_text()] in sent["headers"]
        # the lines of the other overlay, in place of that file
        [production] = [line for line in commands(openfaas).splitlines() if "postgres-ca" in line]
        await shell.run(f"set -eu\nfaas-cli secret remove database-ca\n{production}")
        await shell.run(commands(section(PAGE, "Two functions behind one route")))
        assert {each.name for each in gateway.server.registry} == {
            *(name.replace("_", "-") for name in FUNCTIONS),
            "ingest-b",
        }
        assert "hello" in await shell.run(AFTERWARDS)
        assert not list(gateway.server.registry)
    made = [each for each in proxy.exchanges if not by_curl(each)]
    assert all("Authorization" in each.headers for each in made if "/system/" in each.path)
    compare_with_the_stack(made)
    compare_with_what_is_recorded([written_down(each) for each in made])


def compare_with_the_stack(made: list[Exchange]) -> None:
    """The local platform, which reads stack.yml itself, makes the same of it."""
    read = {each.service: each for each in read_stack(ROOT / "stack.yml", IMAGES)}
    first = [
        FunctionDeployment.model_validate_json(each.body)
        for each in made
        if (each.method, each.when) == ("POST", "faas-cli deploy -f stack.yml --secret database-ca")
    ]
    assert {each.service for each in first} == read.keys()
    for sent in first:
        mine = read[sent.service]
        del mine.annotations[HANDLER_ANNOTATION]
        mine.secrets = ["database-ca", *mine.secrets]
        assert sent == mine


def by_curl(exchange: Exchange) -> bool:
    return exchange.headers.get("User-Agent", "").startswith("curl/")


LISTED = ("name", "image", "namespace", "replicas", "availableReplicas", "createdAt")
"""What is kept of a function in a list; of one that is described it is everything."""
DESCRIBED = ("method", "rawPath", "query", "body")
"""What is kept of what a function answers."""
A_SECRET = {"value": "its text", "rawValue": b64encode(b"its text").decode()}
DIFFERS = {
    "createdAt": "<string>",
    "timestamp": "<string>",
    "instance": "<string>",
    "availableReplicas": "<number>",
    "invocationCount": "<number>",
}


def written_down(exchange: Exchange) -> dict[str, Any]:
    """Return an exchange as the file has it."""
    body = exchange.body.decode()
    if exchange.path.startswith("/system/secrets") and body:
        secret = json.loads(body)
        body = json.dumps(secret | {name: A_SECRET[name] for name in A_SECRET.keys() & secret})
    request = {
        "method": exchange.method,
        "path": exchange.path,
        "headers": {k: v for k, v in exchange.headers.items() if k == "Content-Type"},
        **({"body": body} if body else {}),
        **({"chunked": True} if "chunked" in exchange.headers.get("Transfer-Encoding", "") else {}),
    }
    answer: dict[str, Any] = {"status": exchange.status, "type": exchange.content_type}
    if exchange.content_type == "application/json":
        answer["body"] = with_what_differs(kept(exchange.path, json.loads(exchange.answer)))
    return {"when": exchange.when, "request": request, "answer": answer}


def kept(path: str, answer: Any) -> Any:
    """Return what is kept of an answer."""
    if path.startswith("/function/"):
        return {name: answer[name] for name in DESCRIBED}
    if path == "/system/functions":
        return [{name: each[name] for name in LISTED} for each in answer]
    return answer


def with_what_differs(value: Any) -> Any:
    """Return a value with its kind in place of what differs from run to run."""
    if isinstance(value, dict):
        return {name: DIFFERS.get(name) or with_what_differs(each) for name, each in value.items()}
    return [with_what_differs(each) for each in value] if isinstance(value, list) else value


def asked(exchange: dict[str, Any]) -> Any:
    """Return what is compared of a request: of a deployment its members, not those of stack.yml."""
    request = exchange["request"]
    if request["path"] == "/system/functions" and request["method"] in ("PUT", "POST"):
        request = request | {"body": sorted(json.loads(request["body"]))}
    return exchange["when"], request, exchange["answer"]["status"]


def compare_with_what_is_recorded(found: list[dict[str, Any]]) -> None:
    """Fail where faas-cli asks something else than is recorded."""
    if os.environ.get("RECORD"):
        lines = ",\n  ".join(json.dumps(each) for each in found)
        head = json.dumps({"client": CLIENT, "how": HOW}, indent=1)
        CONTRACT.write_text(f'{{"recorded": {head},\n "exchanges": [\n  {lines}\n]}}\n')
    written = json.loads(CONTRACT.read_text())["exchanges"]
    how = f"write it again: RECORD=1 pytest {Path(__file__).relative_to(ROOT)}"
    # faas-cli removes the functions of a stack in any order
    assert sorted(str(asked(each)) for each in found) == sorted(
        str(asked(each)) for each in written
    ), how
