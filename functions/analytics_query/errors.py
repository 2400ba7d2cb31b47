"""Errors of analytics-query."""

from functions.common.errors import UniverseError


class UnsupportedQueryError(UniverseError):
    """A well-formed query that cannot be answered.

    Attributes:
        parameter: the query parameter whose value is not supported.
        detail: why, and what to request instead.
    """

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(detail)
        self.parameter = parameter
        self.detail = detail


class SketchFormatError(UniverseError, ValueError):
    """Stored bytes that are not a theta sketch of the layout that this version reads."""
