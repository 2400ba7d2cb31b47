"""The OpenFaaS gateway's REST API: functions and their replicas."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import aiohttp

from infra.connector.errors import GatewayError

REQUEST_TIMEOUT_SECONDS = 10.0
DEFAULT_NAMESPACE = "openfaas-fn"
"""The gateway's namespace where a request names none."""
_MAX_QUOTE_LENGTH = 200
_NO_PROMETHEUS = (
    ". OpenFaaS' Community Edition does so to the list of functions while its Prometheus is away: "
    "start that, or name the functions in FUNCTIONS, which are asked for one by one"
)


@dataclass(frozen=True)
class DeployedFunction:
    """A function as the gateway lists it.

    Attributes:
        name: its name, without the namespace.
        namespace: its namespace; empty for the default.
        annotations: its annotations.
        labels: its labels.
        replicas: how many replicas are requested at present.
        invocations: how often it was invoked in all.
    """

    name: str
    namespace: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    replicas: int = 0
    invocations: float = 0.0

    @property
    def full_name(self) -> str:
        """Its name as in its URL: with the namespace, unless that is the default."""
        if self.namespace in ("", DEFAULT_NAMESPACE):
            return self.name
        return f"{self.name}.{self.namespace}"


class Gateway:
    """A client of the gateway."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        invoke_async: bool = False,
        scale_timeout: float = 60.0,
        names: Collection[str] = (),
    ) -> None:
        self._names = names
        self._scale_timeout = scale_timeout
        self._session = session
        self._url = url.rstrip("/")
        # not sent with invocations: the gateway would pass it on to the function
        self._headers = (
            {"Authorization": aiohttp.encode_basic_auth(user, password or "")} if user else {}
        )
        self._path = "async-function" if invoke_async else "function"

    def invocation_url(self, function: str) -> str:
        """Return the URL that invokes a function."""
        return f"{self._url}/{self._path}/{quote(function)}"

    async def functions(self) -> list[DeployedFunction]:
        """Return the functions of every namespace, or those that were named at the start.

        Raises:
            GatewayError: the gateway cannot be reached, or refuses.
        """
        if self._names:
            asked = [await self._function(name) for name in self._names]
            return [function for function in asked if function]
        found: dict[tuple[str, str], DeployedFunction] = {}
        for namespace in await self._namespaces():
            query = {"namespace": namespace} if namespace else None
            listed = await self._get("/system/functions", query)
            if not isinstance(listed, list):
                raise GatewayError("the gateway's response is not a list of functions")
            for entry in cast("list[Any]", listed):
                function = _read_function(entry)
                if function:
                    found[function.name, function.namespace] = function
        return list(found.values())

    async def exists(self, function: str) -> bool:
        """Return whether the gateway has a function; False also if it cannot be reached."""
        try:
            return await self._function(function) is not None
        except GatewayError:
            return False

    async def _function(self, full_name: str) -> DeployedFunction | None:
        name, _, namespace = full_name.partition(".")
        query = {"namespace": namespace} if namespace else None
        try:
            return _read_function(await self._get(f"/system/function/{quote(name)}", query))
        except GatewayError as error:
            if error.status == 404:
                return None
            raise

    async def scale(self, function: str, replicas: int) -> None:
        """Request a number of replicas.

        Raises:
            GatewayError: the gateway cannot be reached, or refuses with a `status`.
        """
        name, _, namespace = function.partition(".")
        body: dict[str, object] = {"serviceName": name, "replicas": replicas}
        query: dict[str, str] = {}
        if namespace:
            body["namespace"] = namespace
            query["namespace"] = namespace
        try:
            async with self._session.post(
                f"{self._url}/system/scale-function/{quote(name)}",
                json=body,
                params=query,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._scale_timeout),
            ) as response:
                text = (await response.text(errors="replace")).strip()[:_MAX_QUOTE_LENGTH]
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise GatewayError(f"{type(error).__name__}: {error}") from error
        if response.status >= 300:
            raise GatewayError(f"HTTP {response.status}: {text}", response.status)

    async def _namespaces(self) -> list[str]:
        try:
            names = await self._get("/system/namespaces")
        except GatewayError as error:
            if error.status in (401, 403) or not error.status:
                raise
            return [""]  # a provider without namespaces
        listed = cast("list[Any]", names) if isinstance(names, list) else []
        return [name for name in listed if isinstance(name, str)] or [""]

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        try:
            async with self._session.get(
                self._url + path,
                params=query,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS),
            ) as response:
                if response.status != 200:
                    text = (await response.text(errors="replace")).strip()[:_MAX_QUOTE_LENGTH]
                    raise GatewayError(f"HTTP {response.status}: {text}", response.status)
                return await response.json(content_type=None)
        except aiohttp.ServerDisconnectedError as error:
            hint = _NO_PROMETHEUS if path == "/system/functions" else ""
            raise GatewayError(f"it closed the connection without a response{hint}") from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise GatewayError(f"{type(error).__name__}: {error}") from error


def _read_function(entry: Any) -> DeployedFunction | None:
    if not isinstance(entry, dict):
        return None
    fields = cast("dict[str, Any]", entry)
    name = fields.get("name")
    if not isinstance(name, str):
        return None
    return DeployedFunction(
        name=name,
        namespace=_text(fields.get("namespace")),
        annotations=_texts(fields.get("annotations")),
        labels=_texts(fields.get("labels")),
        replicas=int(_number(fields.get("replicas"))),
        invocations=_number(fields.get("invocationCount")),
    )


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(k): str(v) for k, v in cast("dict[Any, Any]", value).items()}
