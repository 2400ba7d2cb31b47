"""Errors that are told to the user as one line."""


class PlatformError(Exception):
    """The platform cannot start or go on; the message says why and what to do about it."""
