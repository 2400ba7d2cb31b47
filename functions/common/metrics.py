"""Prometheus exposition."""

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest


def render() -> tuple[bytes, str]:
    """Return this process's metrics in the Prometheus text format, and their content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
