"""Errors of the local platform."""

from functions.common.errors import UniverseError


class PlatformError(UniverseError):
    """The platform cannot start or go on; the message says why and what to do about it."""
