"""Posts the results of asynchronous calls to their callbacks."""

import asyncio
import logging
import socket
import time
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from functions.common.backoff import Backoff
from functions.common.correlation import CALL_ID_HEADER
from infra.connector.http.invoker import HttpResponse
from infra.local.async_calls.call import RETRIED_STATUSES, AsyncCall
from infra.local.async_calls.callback_rule import CallbackRule
from infra.local.async_calls.caller import make_session
from infra.local.errors import CallbackRefusedError

logger = logging.getLogger(__name__)

CALLBACK_TIMEOUT = aiohttp.ClientTimeout(total=30)
CALLBACK_BACKOFF = Backoff.exponential(0.5, 8.0, jitter=0.0)
MAX_CALLBACK_ATTEMPTS = 6
DELIVERED, LOST, REFUSED = "delivered", "lost", "refused"
_NOT_IN_CALLBACK = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class CheckedResolver(AbstractResolver):
    """Resolves names to the addresses only that the rule allows to connect to.

    The check is here, and not before, since a name may resolve to another address each time.
    """

    def __init__(self, rule: CallbackRule) -> None:
        self._rule = rule
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a name.

        Raises:
            CallbackRefusedError: it has none.
        """
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if self._rule.allows_address(each["host"], port)]
        if not allowed:
            addresses = ", ".join(each["host"] for each in found)
            raise CallbackRefusedError(f"{host} is {addresses}, which is neither public nor listed")
        return allowed

    async def close(self) -> None:
        """Release the resolver."""
        await self._resolver.close()


class Callbacks:
    """Posts results, to where the rule allows it."""

    def __init__(self, rule: CallbackRule) -> None:
        self._rule = rule
        self._session = make_session(CheckedResolver(rule))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def post(self, call: AsyncCall, response: HttpResponse, started_at: float) -> str:
        """Post a result to the callback URL, in a few attempts; return the outcome.

        Args:
            call: the call.
            response: the last response to it.
            started_at: when the last attempt started, in seconds since 1970.
        """
        try:
            # again: the list may have changed since the call was stored
            self._rule.check(call.callback_url)
            failure = await self._attempts(call, _headers(call, response, started_at), response)
            outcome = LOST if failure else DELIVERED
        except CallbackRefusedError as error:
            failure, outcome = str(error), REFUSED
        if failure:
            logger.error(
                "callback of %s to %s failed: %s",
                call.function,
                _host(call.callback_url),
                failure,
                extra={"callId": call.call_id},
            )
        return outcome

    async def _attempts(
        self, call: AsyncCall, headers: dict[str, str], response: HttpResponse
    ) -> str:
        """Return why no attempt was accepted; empty if one was."""
        failure = ""
        for attempt in range(1, MAX_CALLBACK_ATTEMPTS + 1):
            try:
                async with self._session.post(
                    call.callback_url,
                    data=response.body,
                    headers=headers,
                    timeout=CALLBACK_TIMEOUT,
                    allow_redirects=False,
                ) as callback:
                    failure = f"status {callback.status}"
                    if 300 <= callback.status < 400:
                        return f"{failure}: redirects are not followed"
                    if callback.status < 500 and callback.status not in RETRIED_STATUSES:
                        return ""
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                # the text of a ValueError quotes the URL
                said = "" if isinstance(error, ValueError) else str(error)
                failure = said or type(error).__name__
            if attempt < MAX_CALLBACK_ATTEMPTS:
                await asyncio.sleep(CALLBACK_BACKOFF.delay(attempt))
        return failure


def _host(url: str) -> str:
    """Return a URL's host, for logs: its query may name a person."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _headers(call: AsyncCall, response: HttpResponse, started_at: float) -> dict[str, str]:
    kept = {k: v for k, v in response.headers.items() if k.lower() not in _NOT_IN_CALLBACK}
    return kept | {
        CALL_ID_HEADER: call.call_id,
        "X-Function-Name": call.function,
        "X-Function-Status": str(response.status),
        "X-Start-Time": str(int(started_at * 1e9)),
        "X-Duration-Seconds": f"{time.time() - started_at:f}",
    }
