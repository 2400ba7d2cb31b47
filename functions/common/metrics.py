"""Prometheus exposition."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # a series per counter that no dashboard asks for


def render() -> tuple[bytes, str]:
    """Return this process's metrics in the Prometheus text format, and their content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE
