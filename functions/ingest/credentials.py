"""Authentication of callers with an API key, and what happens to those without credentials."""

import functools

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from functions.common.access import given_key, is_known
from functions.common.http import asgi

from . import metrics
from .errors import CredentialsRefusedError
from .settings import IngestSettings


def check_api_key(headers: Headers, settings: IngestSettings) -> None:
    """Check the caller's API key; where none is configured, every caller is accepted.

    Raises:
        CredentialsRefusedError: 401, it is missing or wrong.
    """
    key = settings.ingest_api_key
    if not key:
        return
    given = given_key(headers)
    if not is_known(given, (key,)):
        raise CredentialsRefusedError(
            "wrong" if given else "missing", "A valid header X-Api-Key is required."
        )


def count_refusals(route: str, handler: asgi.Handler) -> asgi.Handler:
    """Return the handler, with the requests counted that it refuses for their credentials."""

    @functools.wraps(handler)
    async def counted(request: Request) -> Response:
        try:
            return await handler(request)
        except CredentialsRefusedError as error:
            metrics.CREDENTIALS_REFUSED.labels(route, error.fault).inc()
            raise

    return counted
