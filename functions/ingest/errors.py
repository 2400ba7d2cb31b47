"""Errors of ingest."""

from functions.common.errors import RequestRefusedError


class CredentialsRefusedError(RequestRefusedError):
    """A request without a valid key, token or signature.

    Attributes:
        fault: for the metric that counts them: `missing`, `malformed`, `expired`, `wrong`, or
            `no_secret` where there is nothing that it could be compared with.
    """

    def __init__(self, fault: str, detail: str, *, status: int = 401) -> None:
        """Refuse a request.

        Args:
            fault: as the attribute.
            detail: what is wrong and what to do about it.
            status: 401, or 403 where other credentials in the same request would not help.
        """
        super().__init__(status, detail)
        self.fault = fault
