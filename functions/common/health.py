"""Health responses, the same for every function and the connector."""

import json
from collections.abc import Mapping

LIVENESS = "/health/liveness"
READINESS = "/health/readiness"
METRICS = "/metrics"
JSON = "application/json"


Checks = Mapping[str, str | None]
"""For each dependency its name, and what is wrong with it or None."""


def report(checks: Checks) -> tuple[int, bytes]:
    """Return the status and JSON body of a health response.

    Args:
        checks: for each dependency its name, and what is wrong with it or None.

    Returns:
        200 `{"status": "ok"}` when nothing is wrong, else 503 with what is.
    """
    wrong = {name: fault for name, fault in checks.items() if fault}
    body: dict[str, object] = {"status": "unavailable" if wrong else "ok"}
    if checks:
        body["checks"] = {name: fault or "ok" for name, fault in checks.items()}
    return (503 if wrong else 200), json.dumps(body).encode()
