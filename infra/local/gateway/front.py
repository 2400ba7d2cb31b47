"""Where each request goes: to a function, or to the system API; or nowhere, if it is refused."""

from infra.local.errors import GatewayRefusalError
from infra.local.gateway.admission import Admission
from infra.local.gateway.http1.client import ClientRequest
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

    async def serve(self, request: ClientRequest) -> None:
        """Answer a request."""
        target = request.target
        try:
            self._admission.check(
                request.header(b"host"),
                request.header(b"origin"),
                request.header(b"x-forwarded-host"),
                http11=request.http11,
                to_function=target.startswith(FUNCTION_PREFIXES),
            )
            if target.startswith(FUNCTION_PREFIX):
                await self._proxy.invoke(request)
            else:
                await self._api.serve(request)
        except GatewayRefusalError as error:
            self._refused.count(error.reason)
            if error.close:
                request.keep_alive = False
                request.close_at_once = True
            request.respond(refusal_answer(target, error))
