"""Errors of work on the database as its owner."""

from functions.common.errors import UniverseError


class DatabaseError(UniverseError):
    """The database cannot be reached or refuses; the message says why and what to do about it."""
