"""Requests to the JetStream API that the client library has no method for, or loses fields of."""

import json
from typing import Any

from nats.aio.client import Client
from nats.js.errors import APIError

from functions.common.nats_client import api_subject

TIMEOUT_SECONDS = 5.0


async def ask(
    nc: Client,
    name: str,
    question: dict[str, Any] | None = None,
    *,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109 - the client's, whose error it is
) -> dict[str, Any]:
    """Return the response to a request.

    Args:
        nc: the connection.
        name: the request, such as `STREAM.INFO.ORDERS`.
        question: its body; None for an empty one.
        timeout: how long to wait for the response, in seconds.

    Raises:
        nats.js.errors.APIError: the server refuses; a `NotFoundError` if there is no such thing.
        nats.errors.Error: JetStream does not respond.
    """
    payload = b"" if question is None else json.dumps(question).encode()
    response = await nc.request(api_subject(nc, name), payload, timeout=timeout)
    answer: dict[str, Any] = json.loads(response.data)
    if error := answer.get("error"):
        raise APIError.from_error(error)
    return answer
