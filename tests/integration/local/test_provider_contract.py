"""What OpenFaaS' own gateway and faas-cli ask of a provider, as it was recorded with infra/local.

`provider_contract.json` has the requests of the gateway, `faas_cli_contract.json` those of faas-cli
for the commands of docs/deploy.md, in order, and what they accepted as answers: the status, the
type, and of JSON the members that they read.
"""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from functions.common.paths import ROOT
from tests.support.local_gateway import HANDLERS, RunningGateway, running_gateway
from tests.support.net import eventually

HERE = Path(__file__).parent
TYPES = {"<string>": str, "<number>": (int, float), "<boolean>": bool, "<null>": type(None)}
Answer = tuple[int, str, Any]


@pytest.mark.parametrize("client", ["provider", "faas_cli"])
async def test_requests_are_answered_as_their_client_accepts(
    client: str, nats_url: str, tmp_path: Path
) -> None:
    contract = json.loads((HERE / f"{client}_contract.json").read_text())
    async with running_gateway(
        tmp_path / "state", nats_url=nats_url, root=folder_of(client, tmp_path)
    ) as provider:
        for exchange in contract["exchanges"]:
            request, wanted = exchange["request"], exchange["answer"]
            got: Answer = await send(provider, request)
            if request["method"] == "GET" and not is_as_recorded(got, wanted):
                got = await polled(provider, request, wanted)
            assert is_as_recorded(got, wanted), (exchange["when"], request, got)


def folder_of(client: str, folder: Path) -> Path:
    """Return where handlers are looked for; in place of those of stack.yml one that is small."""
    if client == "provider":
        return ROOT
    (folder / "templates").symlink_to(ROOT / "templates")
    for name in ("ingest", "process_batch", "analytics_query"):
        shutil.copytree(ROOT / HANDLERS / "echo", folder / name)
    return folder


async def polled(provider: RunningGateway, request: dict[str, Any], wanted: Any) -> Answer:
    """Ask again until the answer is as recorded, as the gateway does while replicas start."""

    async def asked() -> Answer | None:
        got = await send(provider, request)
        return got if is_as_recorded(got, wanted) else None

    got = await eventually(asked, 30)
    assert got
    return got


async def send(provider: RunningGateway, request: dict[str, Any]) -> Answer:
    """Send a recorded request; return the status, the type and the body of the answer."""
    body = request.get("body", "").encode()
    async with provider.client.request(
        request["method"],
        provider.url + request["path"],
        headers=request["headers"],
        data=in_chunks(body) if request.get("chunked") else body or None,
    ) as answer:
        text = await answer.text()
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        first = text.splitlines()[0] if kind.endswith("ndjson") and text else text
        return answer.status, kind, json.loads(first) if "json" in kind and first else text


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    """Give a body without saying its length, as the gateway does."""
    yield body


def is_as_recorded(got: Answer, wanted: dict[str, Any]) -> bool:
    """Return whether an answer is one that the gateway accepted."""
    status, kind, body = got
    return (
        status == wanted["status"]
        and kind == wanted.get("type", kind)
        and ("body" not in wanted or has_shape(body, wanted["body"]))
    )


def has_shape(value: Any, shape: Any) -> bool:
    """Return whether a JSON value has at least what was recorded."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            name in value and has_shape(value[name], each) for name, each in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and len(value) == len(shape) and all(
            has_shape(one, each) for one, each in zip(value, shape, strict=True)
        )  # fmt: skip
    if isinstance(shape, str) and shape in TYPES:
        return isinstance(value, TYPES[shape])
    return value == shape
