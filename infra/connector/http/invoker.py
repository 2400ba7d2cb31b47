"""Invokes a function over HTTP."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from functions.common import signature
from functions.common.correlation import CALL_ID_HEADER, TRACE_HEADERS
from infra.connector.delivery.message import Message
from infra.connector.delivery.response import (
    Failed,
    Fault,
    Rejected,
    Response,
    Unavailable,
    classify,
)
from infra.connector.http.cloudevents import (
    BATCH_CONTENT_TYPE,
    batch_body,
    identifiers,
    request_headers,
)
from infra.connector.http.headers import shared_trace

if TYPE_CHECKING:
    from infra.connector.http.tracing import Tracing

MAX_RESPONSE_BYTES = 16 * 1024**2
UNAUTHORIZED = 401
KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept: less than servers keep it. A request on a connection that
the server is closing would look like a crash of the function."""


@dataclass(frozen=True)
class Invocation:
    """An invocation that has ended.

    Attributes:
        response: what the response means for the messages.
        seconds: the time from the request to the response.
        size: bytes of the request's body.
    """

    response: Response
    seconds: float
    size: int


@dataclass(frozen=True)
class HttpResponse:
    """A response as it was received.

    Attributes:
        status: the HTTP status.
        headers: the header fields, looked up without regard to case.
        body: the body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""


def make_session(connect_timeout: float) -> aiohttp.ClientSession:
    """Return a session for invocations of functions, through the gateway or directly."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent",),
        headers={"User-Agent": "universe-connector", "Accept-Encoding": "identity"},
    )


class Invoker:
    """Invokes one function."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        source: str,
        *,
        batch: bool,
        timeout: float,
        signing_keys: Sequence[bytes] = (),
        exists: Callable[[], Awaitable[bool]] | None = None,
        results: bool = False,
        tracing: "Tracing | None" = None,
    ) -> None:
        """Make an invoker.

        Args:
            session: the HTTP client.
            url: where the function is invoked.
            source: the CloudEvents source.
            batch: whether messages are sent in the batch format; otherwise one in binary mode.
            timeout: seconds to wait for a response.
            signing_keys: sign each request; none: requests are not signed.
            exists: returns whether the gateway has the function; None without a gateway.
            results: whether what the function answers is wanted, as something to publish.
            tracing: makes spans of calls; None: there are none.
        """
        self._session = session
        self._url = url
        self._source = source
        self.batch = batch
        """Whether messages are sent in the batch format; otherwise one by one."""
        self._timeout = timeout
        self._signing_keys = signing_keys
        self._exists = exists
        self._results = results
        self._tracing = tracing

    async def invoke(self, messages: Sequence[Message], call_id: str) -> Invocation:
        """Send messages to the function, and return what its response means for them."""
        if self._tracing is None:
            return await self._invoke(messages, call_id, {})
        with self._tracing.call(self._source, messages) as call:
            invocation = await self._invoke(messages, call_id, call.headers)
            call.ended(invocation.response)
        return invocation

    async def _invoke(
        self, messages: Sequence[Message], call_id: str, trace: Mapping[str, str]
    ) -> Invocation:
        headers = {CALL_ID_HEADER: call_id}
        if self.batch:
            body = batch_body(messages, self._source)
            headers |= {"Content-Type": BATCH_CONTENT_TYPE, **shared_trace(messages)}
        else:
            body = messages[0].data
            headers |= request_headers(messages[0], self._source)
        if trace:  # in place of that of the messages, which it continues
            headers = {k: v for k, v in headers.items() if k.lower() not in TRACE_HEADERS}
            headers |= trace
        start = time.perf_counter()
        if self._signing_keys:  # anew for each attempt: a signature is of its time
            headers[signature.HEADER] = signature.sign(self._signing_keys, body, time.time())
        response = await self._post(body, headers, messages)
        if isinstance(response, Rejected) and await self._is_missing(response.status):
            response = Unavailable("the gateway has no such function", reached=False)
        elif isinstance(response, Rejected) and response.status == UNAUTHORIZED:
            response = self._unauthorized(response)
        return Invocation(response, time.perf_counter() - start, len(body))

    def _unauthorized(self, response: Rejected) -> Unavailable:
        """Return what a 401 means: it is not the messages that are wrong, but who sends them."""
        if self._signing_keys:
            advice = (
                "give the connector and the function the same secret batch-signing-key and "
                "restart both, and set both clocks"
            )
        else:
            advice = "give the connector the function's secret batch-signing-key and restart it"
        return Unavailable(f"{response.reason}: {advice}", reached=False, unauthorized=True)

    async def _is_missing(self, status: int) -> bool:
        # a 404 may be the function's own, or the gateway's for a function that is not deployed
        return status == 404 and self._exists is not None and not await self._exists()

    async def _post(
        self, body: bytes, headers: Mapping[str, str], messages: Sequence[Message]
    ) -> Response:
        response = await send_request(
            self._session, "POST", self._url, headers.items(), body, timeout=self._timeout
        )
        if not isinstance(response, HttpResponse):
            return response
        ids: dict[str, list[str]] = {}
        for message in messages:
            for name in identifiers(message) if self.batch else (message.id,):
                ids.setdefault(name, []).append(message.id)
        return classify(
            response.status,
            response.headers,
            response.body,
            ids,
            batch=self.batch,
            now=time.time(),
            results=self._results,
        )


async def send_request(
    session: aiohttp.ClientSession,
    method: str,
    url: str | URL,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - a timeout is a result here
) -> HttpResponse | Unavailable | Failed:
    """Send one request; a failure is returned, with what it says about the function.

    Args:
        session: the HTTP client.
        method: the HTTP method.
        url: where it is sent; redirects are not followed.
        headers: the header fields, in order.
        body: the body.
        timeout: seconds to wait for the end of the response; None for no limit.
    """
    try:
        async with (
            asyncio.timeout(timeout),
            session.request(
                method,
                url,
                data=io.BytesIO(body),
                headers=CIMultiDict(headers),
                allow_redirects=False,
            ) as response,
        ):
            content = await _read(response)
            if content is None:
                return Failed(Fault.ERROR, "the response is too large")
            return HttpResponse(response.status, response.headers, content)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        return Unavailable(f"no connection: {error}", reached=False)
    except TimeoutError:
        return Failed(Fault.TIMEOUT, f"no response within {timeout:g} s")
    except (aiohttp.ClientError, OSError) as error:
        text = str(error) or type(error).__name__
        return Failed(Fault.CRASH, f"the connection was lost during the call: {text}")


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
