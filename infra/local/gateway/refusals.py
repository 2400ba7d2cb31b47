"""Counts the requests that the gateway itself refuses, or whose responses it ends."""

from prometheus_client import CollectorRegistry, Counter

HOST, ORIGIN, LOGIN, CALLBACK = "host", "origin", "login", "callback"
SLOW_BODY, BODY_TOO_LARGE, MALFORMED_BODY = "slow_body", "body_too_large", "malformed_body"
BUFFERS_FULL, SLOW_RESPONSE, CONNECTIONS = "buffers_full", "slow_response", "connections"
REASONS = (
    HOST, ORIGIN, LOGIN, CALLBACK, SLOW_BODY, BODY_TOO_LARGE, MALFORMED_BODY, BUFFERS_FULL,
    SLOW_RESPONSE, CONNECTIONS,
)  # fmt: skip


class Refusals:
    """The counter of refused requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = Counter(
            "universe_gateway_refused_requests",
            "Requests that the gateway itself refused.",
            ["reason"],
            registry=registry,
        )
        self._by_reason = {reason: counter.labels(reason) for reason in REASONS}

    def count(self, reason: str) -> None:
        """Count one refused request."""
        self._by_reason[reason].inc()
