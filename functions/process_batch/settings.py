"""Configuration of process-batch."""

from functools import cache

from pydantic import Field

from functions.common.access import Auth
from functions.common.durations import Seconds
from functions.common.limits import EventLimits
from functions.common.postgres import PoolSettings
from functions.common.settings import SecretLines
from functions.common.signature import TOLERANCE_SECONDS


class ProcessBatchSettings(PoolSettings, EventLimits):
    """The database, who may send batches, their bounds, and how often deltas are compacted."""

    database_url: str = Field(
        default="postgresql://universe_writer@127.0.0.1:5432/universe",
        description="PostgreSQL, as the role universe_writer",
    )
    batch_auth: Auth = Field(
        default="secret", description="`none` takes batches that the connector did not sign"
    )
    batch_signing_key: SecretLines = Field(
        default=(), repr=False, description="key that the connector signs with; several lines: any"
    )
    batch_signature_tolerance: Seconds = Field(
        default=TOLERANCE_SECONDS,
        gt=0,
        description="how far the time of a signature may be from the time here",
    )
    retry_after: int = Field(
        default=2, ge=0, description="seconds a caller should wait after a 503"
    )
    max_batch_bytes: int = Field(
        default=12 * 1024**2,
        gt=0,
        description="largest batch, decompressed; the connector sends 4 MiB, or one message of 8",
    )
    max_batch_events: int = Field(
        default=10_000,
        gt=0,
        description="maximum events in one batch; the connector halves a larger one",
    )
    max_batch_values: int = Field(
        default=500_000,
        gt=0,
        description="maximum JSON values in one batch, counted by its '[', '{', ',' and ':'; an "
        "event has about 40; the connector halves a batch of more",
    )
    max_new_partitions: int = Field(
        default=60,
        ge=1,
        description="days that may get a partition in a minute, all replicas together; days from"
        " two days ago on always may",
    )
    deferral_interval: Seconds = Field(
        default=30.0,
        ge=1,
        description="after at most how long events of days that have to wait for their partition"
        " are delivered again",
    )
    compaction_interval: Seconds = Field(
        default=2.0,
        description="minimum seconds between two compactions of rollup deltas, five times that"
        " while few wait; 0: never",
    )


@cache
def settings() -> ProcessBatchSettings:
    """Return this process's settings, read once.

    Raises:
        pydantic.ValidationError: one of them is wrong.
    """
    return ProcessBatchSettings()
