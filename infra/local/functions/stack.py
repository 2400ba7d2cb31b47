"""Reads stack files as faas-cli does: `stack.yml` deploys the same here and on a cluster."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from infra.local.api_models import FunctionDeployment
from infra.local.errors import PlatformError
from infra.local.functions.handler_resolver import HANDLER_ANNOTATION

_VARIABLE = re.compile(
    r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::?(?P<op>[-=])(?P<default>[^}]*))?\})"
)


def substitute(text: str, env: Mapping[str, str]) -> str:
    """Replace `${NAME}`, `${NAME:-default}` and `${NAME:=default}`; `$$` is a dollar sign.

    As with faas-cli, an empty variable counts as unset, and an unset one without a default is
    replaced by nothing.
    """

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        return env.get(match["name"]) or match["default"] or ""

    return _VARIABLE.sub(value, text)


def read_stack(path: Path, env: Mapping[str, str]) -> list[FunctionDeployment]:
    """Return the deployments of one stack file.

    Files named in `environment_file` are read as well; `environment` takes precedence.

    Raises:
        PlatformError: the file cannot be read, or is not a valid stack file.
    """
    try:
        document: Any = yaml.safe_load(substitute(path.read_text(encoding="utf-8"), env))
    except (OSError, yaml.YAMLError) as error:
        raise PlatformError(f"stack file {path}: {error}") from error
    functions: Any = document.get("functions") if document else None
    if not functions:
        return []
    if not isinstance(functions, dict):
        raise PlatformError(f"stack file {path}: `functions` is not a mapping")
    entries = cast(dict[str, Any], functions)
    return [_deployment(path, name, entry or {}) for name, entry in entries.items()]


def read_stacks(paths: Iterable[Path], env: Mapping[str, str]) -> list[FunctionDeployment]:
    """Return the deployments of several files; later files add to functions of earlier ones.

    Mappings (labels, annotations, environment) are merged; any other field is replaced.
    """
    merged: dict[str, FunctionDeployment] = {}
    for path in paths:
        for new in read_stack(path, env):
            old = merged.get(new.service)
            merged[new.service] = _merge(old, new) if old else new
    return list(merged.values())


def _merge(old: FunctionDeployment, new: FunctionDeployment) -> FunctionDeployment:
    values = old.model_dump()
    for field in new.model_fields_set:
        value = getattr(new, field)
        values[field] = values[field] | value if isinstance(value, dict) else value
    return FunctionDeployment.model_validate(values)


def _deployment(path: Path, name: str, entry: dict[str, Any]) -> FunctionDeployment:
    try:
        environment: dict[str, Any] = {}
        files: list[str] = entry.get("environment_file") or []
        for file in files:
            content: Any = yaml.safe_load((path.parent / file).read_text(encoding="utf-8")) or {}
            environment |= content.get("environment") or {}
        environment |= entry.get("environment") or {}
        annotations: dict[str, Any] = dict(entry.get("annotations") or {})
        labels: dict[str, Any] = entry.get("labels") or {}
        handler = entry.get("handler")
        if handler and (folder := path.parent.resolve() / handler).joinpath("handler.py").is_file():
            annotations.setdefault(HANDLER_ANNOTATION, str(folder.resolve()))
        values: dict[str, Any] = {
            "service": name,
            "image": entry.get("image"),
            "namespace": entry.get("namespace"),
            "env_process": entry.get("fprocess"),
            "env_vars": {key: _text(value) for key, value in environment.items()},
            "constraints": entry.get("constraints"),
            "secrets": entry.get("secrets"),
            "labels": {key: _text(value) for key, value in labels.items()},
            "annotations": {key: _text(value) for key, value in annotations.items()},
            "limits": entry.get("limits"),
            "requests": entry.get("requests"),
            "read_only_root_filesystem": entry.get("readonly_root_filesystem"),
        }
        return FunctionDeployment.model_validate({k: v for k, v in values.items() if v})
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise PlatformError(f"stack file {path}, function {name}: {reason}") from error


def _text(value: Any) -> str:
    """Return a YAML scalar as Go's YAML reads it into a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
