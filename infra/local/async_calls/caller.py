"""Makes a stored call through the gateway."""

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from functions.common.correlation import CALL_ID_HEADER
from infra.connector.http.invoker import HttpResponse, send_request
from infra.local.async_calls.call import AsyncCall

CONNECT_TIMEOUT = 5.0


def make_session(resolver: AbstractResolver | None = None) -> aiohttp.ClientSession:
    """Return a session that adds no headers to a request, and does not decode a response.

    Args:
        resolver: resolves names at each connection; None: the machine's, with a cache.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=resolver, use_dns_cache=resolver is None),
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
