"""What the pages say of paths for the outside and of slow bodies holds."""

import re
from typing import Any

import yaml

from functions.common.paths import ROOT
from infra.connector.bindings.spec import DeliveryOptions
from infra.local.gateway.settings import GatewaySettings

TEMPLATE = ROOT / "templates/python3-functions-framework"


def test_the_ingress_closes_what_is_not_for_the_outside() -> None:
    """The rules for an Ingress in docs/deploy.md match those paths, and no others."""
    page = (ROOT / "docs/deploy.md").read_text()
    rules = [re.compile(rule) for rule in re.findall(r"location ~ (\S+) \{ return 403; \}", page)]
    assert len(rules) == 2
    closed = (
        "/function/ingest/metrics", "/function/ingest//metrics/", "/async-function/x/y", "/metrics",
        "/function/analytics-query/health/readiness", "/async-function/ingest/metrics",
    )  # fmt: skip
    open_to_all = (
        "/function/ingest/webhook/event", "/function/ingest/health/liveness", "/healthz",
        "/function/analytics-query/", "/function/analytics-query/analytics/metrics",
        "/function/analytics-query/api",
    )  # fmt: skip
    for path in closed:
        assert any(rule.search(path) for rule in rules), path
    for path in open_to_all:
        assert not any(rule.search(path) for rule in rules), path


def test_images_end_slow_bodies() -> None:
    """The template's read_timeout is set in the image; no deployment of ours makes it longer."""
    dockerfile = (TEMPLATE / "Dockerfile").read_text()
    assert "read_timeout=30s" in dockerfile
    stack: dict[str, Any] = yaml.safe_load((ROOT / "stack.yml").read_text())
    for function in stack["functions"].values():
        assert function["environment"].get("read_timeout", "30s") == "30s"
    page = (TEMPLATE / "README.md").read_text()
    for limit in ("`read_timeout`", "gunicorn", "`BODY_TIMEOUT`", "`THREADS`"):
        assert limit in page


def test_a_batch_of_the_connector_is_received_whole() -> None:
    """BODY_BUFFER_BYTES is above a batch: stalled large bodies hold up no batch."""
    settings = GatewaySettings()
    assert settings.body_buffer_bytes >= 2 * DeliveryOptions().batch_bytes
    assert settings.body_buffer_total_bytes >= 4 * settings.body_buffer_bytes
