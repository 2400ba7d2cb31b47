"""The OpenFaaS gateway: which functions there are, and how many replicas they have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

REQUEST_TIMEOUT = 10.0
SCALE_TIMEOUT = 60.0
DEFAULT_NAMESPACE = "openfaas-fn"
"""The namespace that the gateway means where none is given."""


class GatewayError(Exception):
    """The gateway is away, or refuses."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Function:
    """A function as the gateway lists it."""

    name: str
    namespace: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 0
    invocations: float = 0.0

    @property
    def full_name(self) -> str:
        """Its name, with its namespace unless that is the default, as in its path."""
        if self.namespace in ("", DEFAULT_NAMESPACE):
            return self.name
        return f"{self.name}.{self.namespace}"


class Gateway:
    """Speaks the gateway's REST API."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        invoke_async: bool = False,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        # for the gateway's own API only: it would pass an invocation's on to the function
        self._headers = (
            {"Authorization": aiohttp.encode_basic_auth(user, password or "")} if user else {}
        )
        self._path = "async-function" if invoke_async else "function"

    def invocation_url(self, function: str) -> str:
        """Return where a function is invoked."""
        return f"{self._url}/{self._path}/{quote(function)}"

    async def functions(self) -> list[Function]:
        """Return the functions of every namespace.

        Raises:
            GatewayError: the gateway does not tell.
        """
        found: dict[tuple[str, str], Function] = {}
        for namespace in await self._namespaces():
            query = {"namespace": namespace} if namespace else None
            listed = await self._get("/system/functions", query)
            if not isinstance(listed, list):
                raise GatewayError("the gateway's list of functions is no list")
            for entry in listed:
                function = _read_function(entry)
                if function:
                    found[function.name, function.namespace] = function
        return list(found.values())

    async def exists(self, function: str) -> bool:
        """Return whether the gateway has a function; False also when it cannot tell."""
        name, _, namespace = function.partition(".")
        try:
            await self._get(
                f"/system/function/{quote(name)}", {"namespace": namespace} if namespace else None
            )
        except GatewayError:
            return False
        return True

    async def scale(self, function: str, replicas: int) -> None:
        """Ask for a number of replicas.

        Raises:
            GatewayError: the gateway refuses; its `status` tells how.
        """
        name, _, namespace = function.partition(".")
        body: dict[str, object] = {"serviceName": name, "replicas": replicas}
        query = {}
        if namespace:
            body["namespace"] = namespace
            query["namespace"] = namespace
        try:
            async with self._session.post(
                f"{self._url}/system/scale-function/{quote(name)}",
                json=body,
                params=query,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=SCALE_TIMEOUT),
            ) as response:
                text = (await response.text(errors="replace")).strip()[:200]
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
        named = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return named or [""]

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        try:
            async with self._session.get(
                self._url + path,
                params=query,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT),
            ) as response:
                if response.status != 200:
                    text = (await response.text(errors="replace")).strip()[:200]
                    raise GatewayError(f"HTTP {response.status}: {text}", response.status)
                return await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise GatewayError(f"{type(error).__name__}: {error}") from error


def _read_function(entry: Any) -> Function | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    return Function(
        name=entry["name"],
        namespace=_text(entry.get("namespace")),
        annotations=_texts(entry.get("annotations")),
        labels=_texts(entry.get("labels")),
        replicas=int(_number(entry.get("replicas"))),
        invocations=_number(entry.get("invocationCount")),
    )


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
