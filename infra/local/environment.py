"""What a child process gets of the platform's own environment."""

import os
from pathlib import Path

from pydantic_settings import BaseSettings

from infra.local import state_dir

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LOG_LEVEL")
_NOT_INHERITED_SETTINGS = {
    "NATS_URL", "DATABASE_URL", "DATABASE_READER_URL", "GATEWAY_URL", "K_SINK", "FUNCTION_URL",
    "HOST", "PORT", "METRICS_PORT", "BASIC_AUTH_USER", "BASIC_AUTH_PASSWORD",
}  # fmt: skip
"""Settings that mean something else to the platform, or that the platform sets itself."""
_SECRET_VARIABLES = (
    "INGEST_API_KEY", "ANALYTICS_API_KEY", "ANALYTICS_WRITE_KEY", "BATCH_SIGNING_KEY",
    "ALERTS_SIGNING_KEY", "SMTP_PASSWORD",
    "NATS_USER", "NATS_PASSWORD", "NATS_TOKEN",
)  # fmt: skip
"""Variables that are handed on as secret files only."""


def inherited() -> dict[str, str]:
    """Return the variables that each child process gets."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def settings_of(component: type[BaseSettings]) -> dict[str, str]:
    """Return the variables that are settings of a component and are handed on to it.

    Args:
        component: its settings class.
    """
    names = {name.upper() for name in component.model_fields}
    return {
        name: os.environ[name]
        for name in sorted(names - _NOT_INHERITED_SETTINGS - set(_SECRET_VARIABLES))
        if os.environ.get(name)
    }


def move_secrets_to_files(folder: Path) -> None:
    """Write the secrets among the variables to the state folder, and unset them.

    All child processes inherit the environment; a secret file is linked only to those that name it.
    """
    for name in _SECRET_VARIABLES:
        if value := os.environ.pop(name, ""):
            state_dir.write_secret(folder, name.lower().replace("_", "-"), value)
