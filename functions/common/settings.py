"""Configuration from the environment and from secret files."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

OPENFAAS_SECRETS = Path("/var/openfaas/secrets")


def secrets_dir() -> Path:
    """Return the folder of secret files: `SECRETS_DIR`, else where OpenFaaS mounts them."""
    return Path(os.environ.get("SECRETS_DIR") or OPENFAAS_SECRETS)


def read_secret(name: str) -> str | None:
    """Return the text of the secret file `name`, without white space around it, or None.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        return (secrets_dir() / name).read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads field `database_url` from the secret file `database-url`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return read_secret(field_name.replace("_", "-")), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self._fields()}
        return {name: value for name, value in values.items() if value is not None}

    def _fields(self) -> list[tuple[str, FieldInfo]]:
        return list(self.settings_cls.model_fields.items())


class ComponentSettings(BaseSettings):
    """Base of each component's one settings class.

    A field `database_url` is taken from the environment variable `DATABASE_URL`, else from the
    secret file `database-url`, else its default holds. An empty variable counts as unset.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)


def setting_faults(error: ValidationError) -> list[str]:
    """Return a line for each invalid setting: its environment variable and what is wrong."""
    return [
        f"{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
        for fault in error.errors()
    ]
