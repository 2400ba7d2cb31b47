"""The deployed functions by name, kept across restarts."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.local.api_models import FunctionDeployment
from infra.local.errors import UnknownFunctionError
from infra.local.functions.function import Function
from infra.local.functions.scaling import ScaleEvents
from infra.local.functions.version import read_version
from infra.local.gateway.settings import GatewaySettings
from infra.local.private_file import write_private
from infra.local.process.logfile import LogFile

logger = logging.getLogger(__name__)


class Registry:
    """The deployed functions.

    Functions deployed through the API are kept in `STATE_DIR/functions.json` and come back at the
    next start; those of stack files come from the stack files each time.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.events = ScaleEvents()
        self._functions: dict[str, Function] = {}
        self._from_api: set[str] = set()
        self._not_restored: list[Any] = []
        self._logs: dict[str, LogFile] = {}
        self._slots = asyncio.Semaphore(settings.parallel_starts)
        self._closing: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Function]:
        return iter(list(self._functions.values()))

    def find(self, name: str) -> Function | None:
        """Return the function, named with or without the namespace, or None."""
        function = self._functions.get(name)
        if function is None and "." in name:
            short, _, namespace = name.rpartition(".")
            if namespace == self.settings.namespace:
                return self._functions.get(short)
        return function

    def get(self, name: str) -> Function:
        """Return the function.

        Raises:
            UnknownFunctionError: it is not deployed.
        """
        function = self.find(name)
        if function is None:
            raise UnknownFunctionError(name)
        return function

    def log(self, name: str) -> LogFile:
        """Return the log of a function or another process of the platform."""
        log = self._logs.get(name)
        if log is None:
            path = self.settings.logs_dir / name / "current.log"
            log = self._logs[name] = LogFile(path, self.settings.log_max_bytes)
        return log

    def deploy(self, deployment: FunctionDeployment, *, from_api: bool) -> Function:
        """Deploy a function, or replace its deployment without dropping a request.

        Raises:
            DeploymentError, ValueError: it cannot run here; nothing has changed.
        """
        function = self._deploy(deployment, from_api=from_api)
        self._drop_stored(function.name)
        self._save()
        return function

    def _deploy(self, deployment: FunctionDeployment, *, from_api: bool) -> Function:
        version = read_version(deployment, self.settings)
        name = deployment.service
        function = self._functions.get(name)
        if function is not None:
            function.update(version)
        else:
            function = Function(
                version,
                settings=self.settings,
                log=self.log(name),
                start_slots=self._slots,
                events=self.events,
            )
            self._functions[name] = function
            function.start()
        (self._from_api.add if from_api else self._from_api.discard)(name)
        return function

    def remove(self, name: str) -> None:
        """Remove a function; its replicas finish their requests in the background.

        Raises:
            UnknownFunctionError: it is not deployed.
        """
        function = self.find(name)
        if function is None:
            if not self._drop_stored(name.removesuffix(f".{self.settings.namespace}")):
                raise UnknownFunctionError(name)
            self._save()
            return
        del self._functions[function.name]
        self._from_api.discard(function.name)
        self._save()
        task = asyncio.create_task(function.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def restore(self) -> None:
        """Deploy what was deployed through the API before the restart.

        A function that cannot be deployed now, such as one whose secret is missing, stays in the
        file for the next start. Nothing is saved meanwhile: the file would be incomplete.
        """
        for stored in _read(self._store):
            try:
                created_at = datetime.fromisoformat(stored["createdAt"])
                deployment = FunctionDeployment.model_validate(stored["deployment"])
                self._deploy(deployment, from_api=True).created_at = created_at
            except (ValueError, KeyError, TypeError) as error:
                name = _stored_name(stored) or "without a name"
                logger.error("the stored function %s cannot be deployed again: %s", name, error)
                self._not_restored.append(stored)

    def end_followers(self) -> None:
        """End the log streams of clients that follow."""
        for log in self._logs.values():
            log.end_followers()

    async def close(self) -> None:
        """Stop all functions; they are deployed again at the next start."""
        await asyncio.gather(*(function.close() for function in self), return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        for log in self._logs.values():
            log.close()

    @property
    def _store(self) -> Path:
        return self.settings.state_dir.resolve() / "functions.json"

    def _drop_stored(self, name: str) -> bool:
        """Drop stored functions of this name that could not be deployed; return whether any was."""
        left = [stored for stored in self._not_restored if _stored_name(stored) != name]
        found = len(left) < len(self._not_restored)
        self._not_restored = left
        return found

    def _save(self) -> None:
        stored = [
            {
                "createdAt": function.created_at.isoformat(),
                "deployment": function.version.deployment.model_dump(
                    mode="json", by_alias=True, exclude_defaults=True
                ),
            }
            for function in self
            if function.name in self._from_api
        ]
        # environments of functions may hold secrets
        write_private(self._store, json.dumps(stored + self._not_restored, indent=2).encode())


def _stored_name(stored: Any) -> str | None:
    try:
        return stored["deployment"]["service"]
    except (KeyError, TypeError):
        return None


def _read(path: Path) -> list[Any]:
    with contextlib.suppress(FileNotFoundError):
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            logger.error("%s is not readable, its functions are not deployed: %s", path, error)
            path.rename(path.with_suffix(".broken"))
    return []
