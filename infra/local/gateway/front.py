"""Where each request goes: to a function, or to the system API; or nowhere, if it is refused."""

from collections.abc import Awaitable

from infra.local.errors import GatewayRefusalError
from infra.local.gateway.admission import Admission
from infra.local.gateway.http1.client import ClientRequest, Serving
from infra.local.gateway.http_io import FUNCTION_PREFIX, FUNCTION_PREFIXES, refusal_answer
from infra.local.gateway.proxy import ProxyRoutes
from infra.local.gateway.refusals import Refusals
from infra.local.gateway.system_api import SystemApi


class Front:
    """Serves the requests of all clients."""

    def __init__(
        self, admission: Admission, refused: Refusals, proxy: ProxyRoutes, api: SystemApi
    ) -> None:
        self._admission = admission
        self._refused = refused
        self._proxy = proxy
        self._api = api

    def begin(self, request: ClientRequest) -> Serving | None:
        """Begin a plain invocation: as nearly all are, it waits for nothing but its response."""
        if not request.target.startswith(FUNCTION_PREFIX):
            return None
        try:
            self._admit(request)
        except GatewayRefusalError:
            return None  # which `serve` says
        return self._proxy.begin(request, self._guard)

    async def serve(self, request: ClientRequest) -> None:
        """Answer a request."""
        await self._guard(request, self._answer(request))

    async def _answer(self, request: ClientRequest) -> None:
        self._admit(request)
        if request.target.startswith(FUNCTION_PREFIX):
            await self._proxy.invoke(request)
        else:
            await self._api.serve(request)

    def _admit(self, request: ClientRequest) -> None:
        self._admission.check(
            request.header(b"host"),
            request.header(b"origin"),
            request.header(b"x-forwarded-host"),
            http11=request.http11,
            to_function=request.target.startswith(FUNCTION_PREFIXES),
        )

    async def _guard(self, request: ClientRequest, serving: Awaitable[None]) -> None:
        """Answer a request that is refused."""
        try:
            await serving
        except GatewayRefusalError as error:
            self._refused.count(error.reason)
            if error.close:
                request.keep_alive = False
                request.close_at_once = True
            request.respond(refusal_answer(request.target, error))
