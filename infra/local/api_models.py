"""JSON objects of the OpenFaaS REST API, as the `types` of faas-provider define them."""

import base64
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SECRET_NAME = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,251}[A-Za-z0-9])?")


def _none_is_empty_map(value: Any) -> Any:
    return {} if value is None else value


def _none_is_empty_list(value: Any) -> Any:
    return [] if value is None else value


StringMap = Annotated[dict[str, str], BeforeValidator(_none_is_empty_map)]
StringList = Annotated[list[str], BeforeValidator(_none_is_empty_list)]


class _ApiModel(BaseModel):
    """Unknown members are ignored: clients may be newer or older than this."""

    model_config = ConfigDict(
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        coerce_numbers_to_str=True,
    )


class FunctionResources(_ApiModel):
    """Memory and CPU in Kubernetes' notation (`128Mi`, `500m`)."""

    memory: str | None = None
    cpu: str | None = None


class FunctionDeployment(_ApiModel):
    """A request to create or update a function."""

    service: str
    image: str = ""
    namespace: str = ""
    env_process: str = ""
    env_vars: StringMap = Field(default_factory=dict)
    constraints: StringList = Field(default_factory=list)
    secrets: StringList = Field(default_factory=list)
    labels: StringMap = Field(default_factory=dict)
    annotations: StringMap = Field(default_factory=dict)
    limits: FunctionResources | None = None
    requests: FunctionResources | None = None
    read_only_root_filesystem: bool = False

    @field_validator("service")
    @classmethod
    def _service_is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("a function's name has 1-63 lower-case letters, digits and '-'")
        return value

    @field_validator("secrets")
    @classmethod
    def _secrets_are_names(cls, value: list[str]) -> list[str]:
        return [check_secret_name(name) for name in value]


class FunctionUsage(_ApiModel):
    """Resources that all replicas of a function use."""

    cpu: float = 0.0
    """Milli-CPUs since the last measurement."""
    total_memory_bytes: float = 0.0


class FunctionStatus(_ApiModel):
    """A deployed function."""

    name: str
    image: str
    namespace: str
    env_process: str = ""
    env_vars: dict[str, str] = Field(default_factory=dict)
    constraints: list[str] = Field(default_factory=list)
    secrets: list[str] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    limits: FunctionResources | None = None
    requests: FunctionResources | None = None
    read_only_root_filesystem: bool = False
    invocation_count: float = 0
    replicas: int = 0
    available_replicas: int = 0
    created_at: datetime
    usage: FunctionUsage | None = None


class DeleteFunctionRequest(_ApiModel):
    """A request to remove a function."""

    function_name: str
    namespace: str = ""


class ScaleServiceRequest(_ApiModel):
    """A request for a number of replicas."""

    service_name: str = ""
    replicas: int = Field(ge=0, le=10_000)
    namespace: str = ""


class Secret(_ApiModel):
    """A secret as it is sent; `raw_value` (base64) holds bytes that are not text."""

    name: str
    namespace: str = ""
    value: str = ""
    raw_value: str = ""

    @field_validator("name")
    @classmethod
    def _name_is_a_files(cls, value: str) -> str:
        return check_secret_name(value)

    @field_validator("raw_value")
    @classmethod
    def _raw_value_is_base64(cls, value: str) -> str:
        base64.b64decode(value, validate=True)
        return value

    @property
    def content(self) -> bytes:
        """The bytes of the secret's file."""
        return base64.b64decode(self.raw_value) if self.raw_value else self.value.encode()


def check_secret_name(name: str) -> str:
    """Return the name if it can be a secret's and a file's, else raise ValueError."""
    if not _SECRET_NAME.fullmatch(name):
        raise ValueError(f"not a secret's name: {name!r}")
    return name
