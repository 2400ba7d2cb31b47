"""The connector's errors."""

from functions.common.errors import UniverseError


class BindError(UniverseError):
    """A function cannot be bound to its topics; the message tells its owner what to change."""


class GatewayError(UniverseError):
    """The OpenFaaS gateway cannot be reached, or refuses a request.

    Attributes:
        status: the HTTP status of its response; 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class MalformedResponseError(UniverseError):
    """The body of a function's response does not follow the batch contract."""


class DeadLetterStoreError(UniverseError):
    """The dead-letter queue cannot be read or changed, or a stream refuses a replayed message."""


class NatsClosedError(UniverseError, ConnectionError):
    """The NATS connection was closed and is not opened again."""


class NatsUnavailableError(UniverseError):
    """A command cannot connect to NATS."""
