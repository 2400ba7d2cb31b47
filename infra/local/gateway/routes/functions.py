"""`/system/functions` and `/system/function/NAME`: deploy, update, delete, list, describe."""

from aiohttp import web

from infra.local.api_models import DeleteFunctionRequest, FunctionDeployment, FunctionStatus
from infra.local.errors import UnknownFunctionError
from infra.local.functions.function import Function
from infra.local.functions.registry import Registry
from infra.local.gateway.http_io import read_model, text_error


def function_status(function: Function, namespace: str) -> FunctionStatus:
    """Return the status of a function as the API has it."""
    deployment = function.version.deployment
    return FunctionStatus(
        name=function.name,
        image=deployment.image,
        namespace=namespace,
        env_process=deployment.env_process,
        env_vars=deployment.env_vars,
        constraints=deployment.constraints,
        secrets=deployment.secrets,
        labels=deployment.labels,
        annotations=deployment.annotations,
        limits=deployment.limits,
        requests=deployment.requests,
        read_only_root_filesystem=deployment.read_only_root_filesystem,
        invocation_count=function.invocations.completed,
        replicas=function.desired_replicas,
        available_replicas=function.available,
        created_at=function.created_at,
    )


class FunctionRoutes:
    """Handlers of the function resources."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._namespace = registry.settings.namespace

    async def list(self, request: web.Request) -> web.Response:
        """GET /system/functions."""
        if self._other_namespace(request.query.get("namespace", "")):
            return web.json_response([])
        statuses = [function_status(function, self._namespace) for function in self._registry]
        body = ",".join(_json(status) for status in statuses)
        return web.Response(text=f"[{body}]", content_type="application/json")

    async def deploy(self, request: web.Request) -> web.Response:
        """POST /system/functions. An existing function is updated, as faas-cli expects of 200."""
        deployment = await read_model(request, FunctionDeployment)
        return self._deploy(deployment)

    async def update(self, request: web.Request) -> web.Response:
        """PUT /system/functions; 404 makes faas-cli deploy it."""
        deployment = await read_model(request, FunctionDeployment)
        if self._registry.find(deployment.service) is None:
            return _not_found(deployment.service)
        return self._deploy(deployment)

    def _deploy(self, deployment: FunctionDeployment) -> web.Response:
        if self._other_namespace(deployment.namespace):
            return text_error(400, f"namespace {deployment.namespace} does not exist")
        existed = self._registry.find(deployment.service) is not None
        try:
            self._registry.deploy(deployment, from_api=True)
        except ValueError as error:
            return text_error(400, str(error))
        return web.Response(status=200 if existed else 202)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /system/functions."""
        wanted = await read_model(request, DeleteFunctionRequest)
        try:
            if self._other_namespace(wanted.namespace):
                raise UnknownFunctionError
            self._registry.remove(wanted.function_name)
        except UnknownFunctionError:
            return _not_found(wanted.function_name)
        return web.Response()

    async def describe(self, request: web.Request) -> web.Response:
        """GET /system/function/NAME."""
        name = request.match_info["name"]
        function = self._registry.find(name)
        if function is None or self._other_namespace(request.query.get("namespace", "")):
            return _not_found(name)
        status = function_status(function, self._namespace)
        return web.Response(text=_json(status), content_type="application/json")

    def _other_namespace(self, namespace: str) -> bool:
        return namespace not in {"", self._namespace}


def _json(status: FunctionStatus) -> str:
    return status.model_dump_json(by_alias=True, exclude_none=True)


def _not_found(name: str) -> web.Response:
    return text_error(404, f"function {name} not found")
