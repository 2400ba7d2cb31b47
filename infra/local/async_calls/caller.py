"""Makes a stored call through the gateway, and posts its result to the callback."""

import asyncio
import logging
import time

import aiohttp
from yarl import URL

from functions.common.backoff import Backoff
from functions.common.correlation import CALL_ID_HEADER
from infra.connector.http.invoker import HttpResponse, send_request
from infra.local.async_calls.call import RETRIED_STATUSES, AsyncCall

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
CALLBACK_TIMEOUT = aiohttp.ClientTimeout(total=30)
CALLBACK_BACKOFF = Backoff.exponential(0.5, 8.0, jitter=0.0)
MAX_CALLBACK_ATTEMPTS = 6
_NOT_IN_CALLBACK = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


def make_session() -> aiohttp.ClientSession:
    """Return a session that adds no headers to a request, and does not decode a response."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        auto_decompress=False,
    )


async def make_call(
    session: aiohttp.ClientSession, gateway_url: str, call: AsyncCall
) -> HttpResponse:
    """Make a call through the gateway, which starts replicas, limits the time and counts it."""
    response = await send_request(
        session,
        call.method,
        URL(f"{gateway_url}/function/{call.function}{call.target}", encoded=True),
        [*call.headers, (CALL_ID_HEADER, call.call_id)],
        call.body,
    )
    return response if isinstance(response, HttpResponse) else HttpResponse(502)


async def post_callback(
    session: aiohttp.ClientSession, call: AsyncCall, response: HttpResponse, started_at: float
) -> bool:
    """Post a result to the callback URL; return whether it was accepted within a few attempts.

    Args:
        session: the HTTP client.
        call: the call.
        response: the last response to it.
        started_at: when the last attempt started, in seconds since 1970.
    """
    headers = {k: v for k, v in response.headers.items() if k.lower() not in _NOT_IN_CALLBACK}
    headers |= {
        CALL_ID_HEADER: call.call_id,
        "X-Function-Name": call.function,
        "X-Function-Status": str(response.status),
        "X-Start-Time": str(int(started_at * 1e9)),
        "X-Duration-Seconds": f"{time.time() - started_at:f}",
    }
    failure = ""
    for attempt in range(1, MAX_CALLBACK_ATTEMPTS + 1):
        try:
            async with session.post(
                call.callback_url, data=response.body, headers=headers, timeout=CALLBACK_TIMEOUT
            ) as answer:
                if answer.status < 500 and answer.status not in RETRIED_STATUSES:
                    return True
                failure = f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            failure = str(error) or type(error).__name__
        if attempt < MAX_CALLBACK_ATTEMPTS:
            await asyncio.sleep(CALLBACK_BACKOFF.delay(attempt))
    logger.error(
        "callback of %s to %s failed: %s",
        call.function,
        call.callback_url,
        failure,
        extra={"callId": call.call_id},
    )
    return False
