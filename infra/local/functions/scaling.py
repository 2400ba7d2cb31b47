"""How many replicas a function may have, and the log of its scale events."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from functions.common.durations import parse_duration
from infra.local.errors import DeploymentError
from infra.local.gateway.settings import GatewaySettings

DEFAULT_MAX_REPLICAS = 20
DEFAULT_ZERO_DURATION = 300.0
MAX_EVENTS = 200


@dataclass(frozen=True)
class ScaleRule:
    """The bounds of the number of replicas, and when a function scales to zero.

    Attributes:
        min_replicas: the number after a deployment and after a scale from zero.
        max_replicas: the most that it may have.
        zero_duration: seconds without requests until it scales to zero; None: it never does.
    """

    min_replicas: int
    max_replicas: int
    zero_duration: float | None

    def clamp(self, replicas: int) -> int:
        """Return the number within the bounds; zero stays zero."""
        return 0 if replicas == 0 else max(self.min_replicas, min(replicas, self.max_replicas))


def read_scale_rule(labels: Mapping[str, str], settings: GatewaySettings) -> ScaleRule:
    """Read `com.openfaas.scale.{min,max,zero,zero-duration}`; an empty label counts as absent.

    Raises:
        DeploymentError, ValueError: a label is not valid.
    """
    min_replicas = _count(labels, "com.openfaas.scale.min", 1)
    max_replicas = _count(labels, "com.openfaas.scale.max", max(DEFAULT_MAX_REPLICAS, min_replicas))
    if max_replicas < max(min_replicas, 1):
        raise DeploymentError("com.openfaas.scale.max is less than com.openfaas.scale.min")
    label = labels.get("com.openfaas.scale.zero") or str(settings.scale_to_zero)
    scales_to_zero = label.lower() == "true"
    label = labels.get("com.openfaas.scale.zero-duration")
    zero_duration = parse_duration(label) if label else DEFAULT_ZERO_DURATION
    if settings.zero_duration is not None:
        zero_duration = settings.zero_duration
    return ScaleRule(min_replicas, max_replicas, zero_duration if scales_to_zero else None)


def _count(labels: Mapping[str, str], label: str, default: int) -> int:
    text = labels.get(label)
    if not text:
        return default
    if not text.isdecimal():
        raise DeploymentError(f"label {label} is not a number: {text!r}")
    return int(text)


@dataclass(frozen=True)
class ScaleEvent:
    """A change of the desired number of replicas."""

    time: datetime
    function: str
    before: int
    after: int
    reason: str


@dataclass
class ScaleEvents:
    """The last scale events of all functions."""

    _events: deque[ScaleEvent] = field(default_factory=lambda: deque[ScaleEvent](maxlen=MAX_EVENTS))

    def add(self, function: str, before: int, after: int, reason: str) -> None:
        """Record a change that happens now."""
        self._events.append(ScaleEvent(datetime.now(UTC), function, before, after, reason))

    def last(self, count: int) -> list[ScaleEvent]:
        """Return the last events, newest first."""
        return list(self._events)[: -count - 1 : -1]
