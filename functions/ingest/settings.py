"""Configuration of ingest."""

from functools import cache
from typing import Annotated

from pydantic import Field
from pydantic_settings import NoDecode

from functions.common.access import Auth
from functions.common.broker import BrokerSettings
from functions.common.durations import Seconds
from functions.common.limits import EventLimits
from functions.common.settings import SecretLines

from .webhooks.configuration import Webhooks


class IngestSettings(BrokerSettings, EventLimits):
    """Limits, credentials of callers, and how events are grouped into messages."""

    max_body_bytes: int = Field(
        default=8 * 1024**2, gt=0, description="largest body of a request, decompressed"
    )
    max_events: int = Field(default=10_000, gt=0, description="maximum events in one request")
    max_body_values: int = Field(
        default=640_000,
        gt=0,
        description="maximum JSON values in one request, counted by its '[', '{', ',' and ':'; an "
        "event has about 40, so this is half as many again for each of 10,000",
    )
    max_message_bytes: int = Field(
        default=512 * 1024, gt=0, description="size of a group of events that is published at once"
    )
    linger_ms: float = Field(
        default=2.0,
        ge=0,
        description="milliseconds an event waits for others to share its message; while a message "
        "of its source is on its way, it waits for that, at most 50",
    )
    max_pending_bytes: int = Field(
        default=64 * 1024**2, gt=0, description="bytes that may wait for acknowledgement before 503"
    )
    publish_timeout: Seconds = Field(
        default=5.0, gt=0, description="seconds to wait for the broker's acknowledgement"
    )
    reconnect_wait: Seconds = Field(
        default=1.0, description="seconds a request waits for a lost connection before 503"
    )
    ingest_auth: Auth = Field(
        default="secret", description="`none` takes events from anybody, without a key"
    )
    ingest_api_key: SecretLines = Field(
        default=(),
        repr=False,
        description="key that callers must send in X-Api-Key; several lines: any of them",
    )
    webhooks: Annotated[Webhooks, NoDecode] = Field(
        default_factory=dict,
        description="further paths /webhook/<name>, as JSON: docs/webhooks.md",
    )


@cache
def settings() -> IngestSettings:
    """Return this process's settings, read once.

    Raises:
        pydantic.ValidationError: one of them is wrong.
    """
    return IngestSettings()
