"""What OpenFaaS' own gateway asks of a provider, as it was recorded with infra/local behind it.

`provider_contract.json` has the requests of the gateway, in order, and what it accepted as answers:
the status, the type, and of JSON the members that the gateway and faas-cli read.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.local_gateway import RunningGateway, running_gateway
from tests.support.net import eventually

EXCHANGES = json.loads(Path(__file__).with_name("provider_contract.json").read_text())["exchanges"]
TYPES = {"<string>": str, "<number>": (int, float), "<boolean>": bool, "<null>": type(None)}
Answer = tuple[int, str, Any]


async def test_the_gateways_requests_are_answered_as_it_accepts(
    nats_url: str, tmp_path: Path
) -> None:
    async with running_gateway(tmp_path, nats_url=nats_url) as provider:
        for exchange in EXCHANGES:
            request, wanted = exchange["request"], exchange["answer"]
            got: Answer = await send(provider, request)
            if request["method"] == "GET" and not is_as_recorded(got, wanted):
                got = await polled(provider, request, wanted)
            assert is_as_recorded(got, wanted), (exchange["when"], request, got)


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
