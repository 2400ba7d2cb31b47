"""The root of the tree of errors, and the errors that several components share."""

from typing import Any


class UniverseError(Exception):
    """Something failed that a person can act on.

    The message is one plain sentence that says what failed and, where it helps, what to do about
    it. Commands print it as one line instead of a stack trace.
    """


class RequestRefusedError(UniverseError):
    """An HTTP request that is not served; the front door answers it with problem details.

    Attributes:
        status: the HTTP status of the response.
        detail: what is wrong and what to do about it.
        title: what kind of problem it is; None: the phrase of the status.
        headers: further headers of the response.
        reason: the bound that the request breaks, a label of the metric that counts refusals;
            None: it is counted by its status only.
        extensions: further members of the problem details.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        headers: dict[str, str] | None = None,
        retry_after: int | None = None,
        reason: str | None = None,
        **extensions: Any,
    ) -> None:
        """Refuse a request.

        Args:
            status: as the attribute.
            detail: as the attribute.
            title: as the attribute.
            headers: as the attribute.
            retry_after: seconds after which the same request may succeed, where that is so.
            reason: as the attribute.
            extensions: as the attribute.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title
        self.reason = reason
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        self.extensions = extensions


class CredentialsRefusedError(RequestRefusedError):
    """A request without a valid key, token or signature.

    Attributes:
        fault: a label of the metric that counts them: `missing`, `malformed`, `expired`, `wrong`,
            or `no_secret` where there is nothing that it could be compared with.
    """

    def __init__(
        self, fault: str, detail: str, *, status: int = 401, challenge: str | None = None
    ) -> None:
        """Refuse a request.

        Args:
            fault: as the attribute.
            detail: what is wrong and what to do about it.
            status: 401, or 403 where other credentials in the same request would not help.
            challenge: the header `WWW-Authenticate`, what credentials are asked for; None: none.
        """
        headers = {"WWW-Authenticate": challenge} if challenge else None
        super().__init__(status, detail, headers=headers)
        self.fault = fault


class SecretError(UniverseError, ValueError):
    """A secret file is empty or cannot be read, or one that must be there is missing."""


class SignatureError(UniverseError):
    """A signature is not accepted.

    Attributes:
        why: for metrics: `missing`, `malformed`, `expired` or `wrong`.
    """

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class DatabaseUnavailableError(UniverseError):
    """The database cannot be used at present; the same work may succeed later.

    Attributes:
        detail: the message, for a person to read.
        state: the SQLSTATE, or a word where there is none: `pool`, `clock`, `none`.
    """

    def __init__(self, detail: str, state: str = "none") -> None:
        super().__init__(detail)
        self.detail = detail
        self.state = state


class QueryTimeoutError(UniverseError):
    """The database cancelled a statement because it took longer than the statement timeout."""
