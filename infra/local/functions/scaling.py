"""What a function's labels say about its replicas."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from functions.common.durations import parse_duration
from infra.local.gateway.settings import GatewaySettings

DEFAULT_MAX = 20
DEFAULT_ZERO_SECONDS = 300.0


@dataclass(frozen=True)
class ScaleRule:
    """Bounds of the number of replicas, and when there is none."""

    minimum: int
    """Replicas after a deployment and after waking; an idle function goes below it, to zero."""
    maximum: int
    zero_after: float | None
    """Idle seconds until the function goes to zero; None: it never does."""

    def clamp(self, replicas: int) -> int:
        """Return the number within the bounds; zero stays zero."""
        return 0 if replicas == 0 else max(self.minimum, min(replicas, self.maximum))


def scale_rule(labels: Mapping[str, str], settings: GatewaySettings) -> ScaleRule:
    """Read `com.openfaas.scale.{min,max,zero,zero-duration}`; an empty one does not say.

    Raises:
        ValueError: a label has no sensible value.
    """
    minimum = _count(labels, "com.openfaas.scale.min", 1)
    maximum = _count(labels, "com.openfaas.scale.max", max(DEFAULT_MAX, minimum))
    if maximum < max(minimum, 1):
        raise ValueError("com.openfaas.scale.max is less than com.openfaas.scale.min")
    label = labels.get("com.openfaas.scale.zero") or str(settings.scale_to_zero)
    zero = label.lower() == "true"
    label = labels.get("com.openfaas.scale.zero-duration")
    after = parse_duration(label) if label else DEFAULT_ZERO_SECONDS
    if settings.zero_duration is not None:
        after = settings.zero_duration
    return ScaleRule(minimum, maximum, after if zero else None)


def _count(labels: Mapping[str, str], label: str, default: int) -> int:
    text = labels.get(label)
    if not text:
        return default
    if not text.isdecimal():
        raise ValueError(f"label {label} is not a number: {text!r}")
    return int(text)


@dataclass(frozen=True)
class ScaleEvent:
    """A change of the number of replicas a function shall have."""

    time: datetime
    function: str
    before: int
    after: int
    reason: str


@dataclass
class ScaleEvents:
    """The last scale events of all functions."""

    _events: deque[ScaleEvent] = field(default_factory=lambda: deque(maxlen=200))

    def add(self, function: str, before: int, after: int, reason: str) -> None:
        """Note a change that happens now."""
        self._events.append(ScaleEvent(datetime.now(UTC), function, before, after, reason))

    def last(self, count: int) -> list[ScaleEvent]:
        """Return the last events, newest first."""
        return list(self._events)[: -count - 1 : -1]
