"""Configuration of analytics-query."""

import functools

from pydantic import Field

from functions.common.settings import ComponentSettings


class Settings(ComponentSettings):
    """Each field comes from the environment variable of its name, or the secret file."""

    database_reader_url: str | None = None
    """Connection of the read-only role."""
    database_url: str | None = None
    """Used where `database_reader_url` is not given."""
    db_pool_min: int = Field(default=1, ge=0)
    """Connections kept open per process."""
    db_pool_max: int = Field(default=8, ge=1)
    """Maximum number of connections per process."""
    db_pool_timeout: float = Field(default=5.0, gt=0)
    """Seconds a request waits for a connection."""
    report_timeout: float = Field(default=10.0, gt=0)
    """Seconds one SQL statement of a report may take."""
    export_timeout: float = Field(default=300.0, gt=0)
    """Seconds an export of raw events may take."""
    export_rows_max: int = Field(default=5_000_000, ge=1)
    """Maximum number of events in one export."""
    exact_users_max_events: int = Field(default=100_000, ge=0)
    """Events up to which users are counted exactly where no sketch has their number; for more
    events it is estimated from a sample of the users."""
    report_cache_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Memory for cached reports; 0 disables the cache."""
    analytics_api_key: str | None = None
    """Callers must send it in `X-Api-Key`, where it is set."""

    @property
    def url(self) -> str:
        """The connection to use."""
        url = self.database_reader_url or self.database_url
        if url is None:
            raise ValueError("neither DATABASE_READER_URL nor DATABASE_URL is set")
        return url


@functools.cache
def settings() -> Settings:
    """Return this process's configuration, read once."""
    return Settings()
