"""The exporter's settings."""

from pydantic import Field

from functions.common.broker import BrokerSettings


class ExporterSettings(BrokerSettings):
    """What is asked, and where the answers are served."""

    database_reader_url: str | None = Field(
        None, description="PostgreSQL, as role universe_reader; also the file database-reader-url"
    )
    database_url: str | None = Field(
        None, description="used where DATABASE_READER_URL is not given"
    )
    database_timeout: float = Field(4.0, gt=0, description="seconds one SQL statement may take")
    host: str = Field("0.0.0.0", description="address for health and metrics")  # noqa: S104
    port: int = Field(8082, ge=0, lt=65536, description="port for health and metrics")
    log_level: str = Field("INFO", description="lowest level of log lines")

    @property
    def url(self) -> str | None:
        """The database's URL, None where none is configured."""
        return self.database_reader_url or self.database_url
