"""Time limits and the limit of calls, under the names that they have in OpenFaaS' watchdog."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

HEALTH = "/_/health"
READY = "/_/ready"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_part = re.compile(r"([0-9.]+)(ms|h|m|s)")


@dataclass(frozen=True)
class Limits:
    """What one call may take; 0 stands for no limit.

    Attributes:
        read: seconds until a request must be there, its body included.
        call: seconds until a response must have begun; then 504.
        write: seconds until a response must have ended.
        inflight: calls at the same time; a further one gets 429.
    """

    read: float = 0.0
    call: float = 0.0
    write: float = 0.0
    inflight: int = 0


def read_limits() -> Limits:
    """Return the limits that the environment names.

    Raises:
        ValueError: one of them is no duration, or no number.
    """
    env = os.environ
    return Limits(
        read=duration(env.get("read_timeout", "0")),
        call=duration(env.get("exec_timeout", "0")),
        write=duration(env.get("write_timeout", "0")),
        inflight=int(env.get("max_inflight") or 0),
    )


def duration(text: str) -> float:
    """Return the seconds of a duration such as `1m30s`, `500ms` or `30`.

    Raises:
        ValueError: it is none.
    """
    parts = _part.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no duration: write it as 30s or 1m30s") from None


def operation(path: str, ready_file: Path | None) -> tuple[int, bytes] | None:
    """Return the status and the body for what an engine's probes ask; None for other paths.

    Args:
        path: of the request.
        ready_file: is there while requests shall come; None: always.
    """
    if path == HEALTH:
        return 200, b"OK"
    if path == READY:
        ready = ready_file is None or ready_file.exists()
        return (200, b"OK") if ready else (503, b"not ready")
    return None
