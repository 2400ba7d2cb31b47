"""Configuration from the environment and from secret files."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from functions.common.errors import SecretError

OPENFAAS_SECRETS = Path("/var/openfaas/secrets")


def secrets_dir() -> Path:
    """Return the folder of secret files: `SECRETS_DIR`, else where OpenFaaS mounts them."""
    return Path(os.environ.get("SECRETS_DIR") or OPENFAAS_SECRETS)


def read_secret(name: str) -> str | None:
    """Return the text of the secret file `name`, without white space around it, or None.

    Raises:
        SecretError: the file is empty or cannot be read. It is an error, because an empty secret
            taken for none would open what the secret closes.
    """
    path = secrets_dir() / name
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SecretError(f"the secret file {path} cannot be read: {reason}") from error
    if not text:
        raise SecretError(
            f"the secret file {path} is empty: write the secret into it, or remove it"
        )
    return text


def read_secrets(name: str) -> tuple[str, ...]:
    """Return the lines of the secret file `name`: each is a valid secret; none if there is no file.

    A file with two lines holds the secret that is being replaced and the new one.

    Raises:
        SecretError: as for `read_secret`.
    """
    lines = map(str.strip, (read_secret(name) or "").splitlines())
    return tuple(line for line in lines if line)


class _FileOnly:
    """Marks a field that is read from its secret file, and never from the environment."""


SecretLines = Annotated[tuple[str, ...], NoDecode, _FileOnly]
"""The type of a field with keys that are valid at the same time, one in each line of its file.

It is not read from the environment, which other processes and crash reports see.
"""


def is_secret_file(field: FieldInfo) -> bool:
    """Return whether a field has the type `SecretLines`."""
    return _FileOnly in field.metadata


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads field `database_url` from the secret file `database-url`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = field_name.replace("_", "-")
        value = read_secrets(name) or None if is_secret_file(field) else read_secret(name)
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self._fields()}
        return {name: value for name, value in values.items() if value is not None}

    def _fields(self) -> list[tuple[str, FieldInfo]]:
        return list(self.settings_cls.model_fields.items())


class _Environment(PydanticBaseSettingsSource):
    """Reads all fields but `SecretLines` from the environment."""

    def __init__(
        self, settings_cls: type[BaseSettings], environment: PydanticBaseSettingsSource
    ) -> None:
        super().__init__(settings_cls)
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._environment.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        return {
            name: value
            for name, value in self._environment().items()
            if name not in fields or not is_secret_file(fields[name])
        }


class ComponentSettings(BaseSettings):
    """Base of each component's one settings class.

    A field `database_url` is taken from the environment variable `DATABASE_URL`, else from the
    secret file `database-url`, else its default holds. An empty variable counts as unset; an empty
    secret file is an error. Fields of the type `SecretLines` are taken from their file only.
    """

    # fields have `description=`: to find docstrings, pydantic reads the sources of all loaded
    # modules again for each class, and a start should not pay for that
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        environment = _Environment(settings_cls, env_settings)
        return init_settings, environment, _SecretFiles(settings_cls)


def setting_faults(error: ValidationError | SecretError) -> list[str]:
    """Return a line for each invalid setting or secret: which it is, and what is wrong."""
    if isinstance(error, SecretError):
        return [str(error)]
    return [
        f"{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
        for fault in error.errors()
    ]
