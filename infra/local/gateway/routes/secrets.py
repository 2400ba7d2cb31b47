"""`/system/secrets`: secret files under `STATE_DIR/secrets`."""

from pathlib import Path

from aiohttp import web

from infra.local.api_models import Secret
from infra.local.gateway.auth import PASSWORD_FILE, USER_FILE
from infra.local.gateway.http_io import read_model, text_error
from infra.local.private_file import write_private

_GATEWAY_SECRETS = frozenset({USER_FILE, PASSWORD_FILE})
"""Secrets of the gateway; functions may mount them, but the API neither lists nor changes them."""


class SecretRoutes:
    """Handlers of the secrets. Values can be written, but not read."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self._folder = folder
        self._namespace = namespace

    async def list(self, request: web.Request) -> web.Response:
        """GET /system/secrets."""
        if request.query.get("namespace", "") not in {"", self._namespace}:
            return web.json_response([])
        return web.json_response(
            [{"name": name, "namespace": self._namespace} for name in _names(self._folder)]
        )

    async def create(self, request: web.Request) -> web.Response:
        """POST /system/secrets."""
        secret = await read_model(request, Secret)
        if refusal := self._refusal(secret):
            return refusal
        if (self._folder / secret.name).exists():
            return text_error(409, f"secret {secret.name} exists already")
        write_private(self._folder / secret.name, secret.content)
        return web.Response(status=201)

    async def update(self, request: web.Request) -> web.Response:
        """PUT /system/secrets; functions that read the file again see the new value."""
        secret = await read_model(request, Secret)
        if refusal := self._refusal(secret):
            return refusal
        if not (self._folder / secret.name).exists():
            return text_error(404, f"secret {secret.name} not found")
        write_private(self._folder / secret.name, secret.content)
        return web.Response(status=200)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /system/secrets."""
        secret = await read_model(request, Secret)
        if refusal := self._refusal(secret):
            return refusal
        try:
            (self._folder / secret.name).unlink()
        except FileNotFoundError:
            return text_error(404, f"secret {secret.name} not found")
        return web.Response()  # faas-cli treats 204, which the API documents, as a failure

    def _refusal(self, secret: Secret) -> web.Response | None:
        if secret.namespace not in {"", self._namespace}:
            return text_error(400, f"namespace {secret.namespace} does not exist")
        if secret.name in _GATEWAY_SECRETS:
            return text_error(403, f"secret {secret.name} is the gateway's own")
        return None


def _names(folder: Path) -> list[str]:
    return sorted(
        file.name
        for file in folder.iterdir()
        if file.is_file() and file.name not in _GATEWAY_SECRETS and not file.name.startswith(".")
    )
