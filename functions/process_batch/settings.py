"""Configuration of process-batch."""

from functools import cache

from pydantic import Field

from functions.common.settings import ComponentSettings


class ProcessBatchSettings(ComponentSettings):
    """The database, and how often rollup deltas are compacted."""

    database_url: str = Field(
        "postgresql://universe_writer@127.0.0.1:5432/universe",
        description="PostgreSQL, as the role universe_writer",
    )
    db_pool_min: int = Field(0, ge=0, description="connections kept open per process")
    db_pool_max: int = Field(4, ge=1, description="most connections per process")
    db_connect_timeout: int = Field(3, ge=1, description="seconds for one attempt to connect")
    db_wait: float = Field(5.0, gt=0, description="seconds a batch waits for a connection")
    db_statement_timeout: float = Field(50.0, gt=0, description="longest statement in seconds")
    retry_after: int = Field(2, ge=0, description="seconds a caller should wait after a 503")
    max_batch_bytes: int = Field(64 * 1024**2, gt=0, description="largest batch, decompressed")
    compaction_interval: float = Field(
        2.0, ge=0, description="minimum seconds between two compactions of rollup deltas; 0: never"
    )


@cache
def settings() -> ProcessBatchSettings:
    """Return this process's settings. Raises pydantic's ValidationError where one is wrong."""
    return ProcessBatchSettings()  # type: ignore[call-arg]
