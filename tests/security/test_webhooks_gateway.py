"""Webhooks through the gateway, which is where a sender's requests arrive."""

import hashlib
import hmac
import json
from pathlib import Path

from infra.cli.load.event_generator import generate
from infra.local.servers.nats import EmbeddedNats
from tests.support.local_gateway import running_gateway

SECRETS = {
    "ingest-api-key": "open sesame",
    "webhook-facebook": "app secret",
    "webhook-facebook-verify-token": "meatyhamhock",
}


async def test_facebook_connects_through_the_gateway(
    session_nats: EmbeddedNats, tmp_path: Path
) -> None:
    """Challenge and signed events reach ingest at `/function/ingest/webhook/facebook`.

    The local platform gives ingest the secrets as files, hands on the query and the bytes as they
    are, and writes neither token nor secret to a log.
    """
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, text in SECRETS.items():
        (secrets / name).write_text(text)
    event = next(e.event for e in generate(50, 1) if e.event.get("source") == "facebook")
    body = json.dumps(event, indent=1).encode()
    digest = hmac.new(b"app secret", body, hashlib.sha256).hexdigest()
    right = {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
    environment = {"NATS_URL": session_nats.url, "LOG_LEVEL": "DEBUG"}
    async with running_gateway(tmp_path, function_env=environment) as gateway:
        await gateway.deploy(
            "ingest",
            secrets=["ingest-api-key"],  # those of the webhooks come along where they are there
            annotations={"com.universe.handler": "functions/ingest"},
        )
        url = f"{gateway.url}/function/ingest/webhook/facebook"
        query = {
            "hub.mode": "subscribe",
            "hub.challenge": "1158201444",
            "hub.verify_token": "meatyhamhock",
        }
        async with gateway.client.get(url, params=query) as answer:
            assert (answer.status, await answer.text()) == (200, "1158201444")
            assert answer.content_type == "text/plain"
        async with gateway.client.get(url, params=query | {"hub.verify_token": "x"}) as answer:
            assert answer.status == 403
        async with gateway.client.post(url, data=body, headers=right) as answer:
            assert answer.status == 202
        for headers in ({}, {"X-Api-Key": "open sesame"}, right):
            async with gateway.client.post(url, data=body + b" ", headers=headers) as answer:
                assert answer.status == 401
        async with gateway.client.post(url, data=b"x" * 7 * 1024**2) as answer:
            assert answer.status == 401
    logs = "".join(each.read_text() for each in (tmp_path / "logs").rglob("*.log"))
    assert "/webhook/facebook" in logs
    assert "meatyhamhock" not in logs
    assert "app secret" not in logs
