"""The exporter's settings."""

from pydantic import Field

from functions.common.broker import BrokerSettings
from functions.common.durations import Seconds


class ExporterSettings(BrokerSettings):
    """The database and the broker that are monitored, and where metrics are served."""

    database_reader_url: str | None = Field(
        default=None,
        description="PostgreSQL, as role universe_reader; also the file database-reader-url",
    )
    database_url: str | None = Field(
        default=None, description="used where DATABASE_READER_URL is not set"
    )
    db_statement_timeout: Seconds = Field(
        default=4.0, gt=0, description="longest statement in seconds"
    )
    host: str = Field(
        default="0.0.0.0",  # noqa: S104
        description="address for health and metrics",
    )
    port: int = Field(default=8082, ge=0, lt=65536, description="port for health and metrics")
    log_level: str = Field(default="INFO", description="minimum level of log lines")

    @property
    def url(self) -> str | None:
        """The database's URL, None where none is configured."""
        return self.database_reader_url or self.database_url
