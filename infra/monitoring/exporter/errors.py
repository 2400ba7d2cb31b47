"""The exporter's errors."""

from functions.common.errors import UniverseError


class JetStreamApiError(UniverseError):
    """The JetStream API answered a request with an error."""


class DatabaseNotConfiguredError(UniverseError):
    """Neither DATABASE_READER_URL nor DATABASE_URL is set."""
