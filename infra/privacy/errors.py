"""Errors of erasing and exporting what is stored of a person."""

from functions.common.errors import UniverseError


class StreamUnavailableError(UniverseError):
    """JetStream does not respond, so what waits in it, or is dead, is out of reach."""


class IncompleteErasureError(UniverseError):
    """Something of the person may be left; the message says what to do."""
