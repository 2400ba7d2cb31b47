"""The base of every error that Universe raises on purpose."""


class UniverseError(Exception):
    """Something failed that a person can act on.

    The message is one plain sentence that says what failed and, where it helps, what to do about
    it. Commands print it as one line instead of a stack trace.
    """
