"""Errors as RFC 9457 problem details."""

from http import HTTPStatus
from typing import Any

PROBLEM_JSON = "application/problem+json"


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    type: str = "about:blank",
    **extensions: object,
) -> dict[str, Any]:
    """Return a problem object (https://www.rfc-editor.org/rfc/rfc9457).

    Args:
        status: the HTTP status that the response has.
        detail: what went wrong this time, and what to do about it.
        title: what kind of problem it is; by default the phrase of the status.
        type: a URI that names the kind of problem.
        extensions: further members.
    """
    title = title or HTTPStatus(status).phrase
    return {"type": type, "title": title, "status": status, "detail": detail, **extensions}
