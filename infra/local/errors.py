"""Errors of the local platform."""

from functions.common.errors import RequestRefusedError, UniverseError


class PlatformError(UniverseError):
    """The platform cannot start or go on; the message says why and what to do about it."""


class DeploymentError(UniverseError, ValueError):
    """A deployment cannot run on this machine; nothing has changed."""


class UnknownFunctionError(UniverseError):
    """No function of that name is deployed."""


class ReplicaStartError(UniverseError):
    """A replica did not become ready."""


class NoReplicaError(UniverseError):
    """No replica can take a request now.

    Attributes:
        status: the HTTP status of the response.
        retry_after: seconds after which a replica may be ready.
    """

    def __init__(self, status: int, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.status = status
        self.retry_after = retry_after


class UpstreamError(UniverseError):
    """A replica gave no usable response."""


class ConnectFailedError(UpstreamError):
    """No connection to a replica could be made, so nothing of the request has been sent."""


class ConnectionLostError(UpstreamError):
    """The connection to a replica ended before the response was complete."""


class AsyncCallError(UniverseError):
    """A stored asynchronous call cannot be read."""


class QueueUnavailableError(UniverseError):
    """An asynchronous call could not be stored durably."""


class CallTooLargeError(UniverseError):
    """An asynchronous call does not fit into one message."""


class GatewayRefusalError(RequestRefusedError):
    """A request that the gateway itself refuses; counted by its reason.

    Attributes:
        reason: why, as the label of the counter has it.
        close: whether the connection is closed at once, without reading what is left of the body.
    """

    def __init__(
        self,
        reason: str,
        status: int,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(status, detail, headers=headers)
        self.reason = reason
        self.close = close


class CallbackRefusedError(UniverseError):
    """A callback's target is not one that the gateway may post to."""
