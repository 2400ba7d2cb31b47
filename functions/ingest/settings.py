"""Configuration of ingest."""

from functools import cache

from pydantic import Field

from functions.common.broker import BrokerSettings


class IngestSettings(BrokerSettings):
    """Limits, credentials of callers, and how events are grouped into messages."""

    max_body_bytes: int = Field(8 * 1024**2, gt=0, description="largest request, decompressed")
    max_events: int = Field(10_000, gt=0, description="most events in one request")
    max_message_bytes: int = Field(512 * 1024, gt=0, description="largest group of events")
    group_seconds: float = Field(0.002, ge=0, description="longest time an event waits for others")
    max_pending_bytes: int = Field(
        64 * 1024**2, gt=0, description="bytes that may wait for acknowledgement before 503"
    )
    publish_timeout: float = Field(5.0, gt=0, description="seconds to wait for the broker's ack")
    reconnect_wait: float = Field(
        1.0, ge=0, description="seconds a request waits for a lost connection before 503"
    )
    ingest_api_key: str | None = Field(None, description="key that callers must send, if set")
    webhook_secret: str | None = Field(
        None, description="secret of the X-Hub-Signature-256 that callers must send, if set"
    )


@cache
def settings() -> IngestSettings:
    """Return this process's settings. Raises pydantic's ValidationError where one is wrong."""
    return IngestSettings()  # type: ignore[call-arg]
