"""Settings of the local platform's gateway, from the environment."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from functions.common.durations import parse_duration
from functions.common.paths import ROOT


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
"""Seconds; from the environment also a duration such as `90s` or `1h30m`."""


class GatewaySettings(BaseSettings):
    """How the gateway runs functions. Each field is an environment variable in upper case."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    state_dir: Path = Path(".universe")
    """Holds secrets, logs and what is deployed."""
    gateway_host: str = "127.0.0.1"
    """Address that the gateway listens at."""
    gateway_port: int = 8080
    """0 takes any free port."""
    root: Path = ROOT
    """The folder that `functions/...` and relative handler paths are found in."""

    basic_auth: bool = True
    """Whether `/system/*` asks for user `admin` and the password in
    `STATE_DIR/secrets/basic-auth-password` (made at the first start)."""
    namespace: str = "openfaas-fn"
    """The only namespace there is."""

    scale_to_zero: bool = True
    """Whether idle functions go to zero when the label `com.openfaas.scale.zero` does not say."""
    zero_duration: Seconds | None = None
    """Idle time after which a function goes to zero. Set, it overrides each function's label
    `com.openfaas.scale.zero-duration`; unset, the label holds, else 5 minutes."""

    cold_start_timeout: Seconds = 60.0
    """How long a request waits for a replica, and a replica may take to become ready."""
    upstream_timeout: Seconds = 900.0
    """How long a function may take until its answer begins; then the gateway answers 504."""
    drain_timeout: Seconds = 900.0
    """How long a replica that is being removed may take to finish the requests in hand."""
    term_timeout: Seconds = 30.0
    """How long a replica may take to exit on SIGTERM before it is killed."""
    parallel_starts: int = Field(default=2, ge=1)
    """How many replicas start at the same time; the others wait their turn."""

    nats_url: str | None = None
    """NATS for `/async-function/*`; without it such requests are answered 501."""
    async_concurrency: int = Field(default=4, ge=1)
    """How many asynchronous calls of one function are made at the same time."""
    async_max_body: int = Field(default=8 * 1024**2, ge=1)
    """Largest body of an asynchronous call in bytes; NATS's `max_payload` may be less."""

    log_max_bytes: int = Field(default=8 * 1024**2, ge=4096)
    """Size at which a function's log file is rotated; one older file is kept."""

    function_env: dict[str, str] = Field(default_factory=dict)
    """Environment that every replica gets whatever its deployment says: where this machine's NATS
    and PostgreSQL are, in place of the names that a cluster resolves."""

    @property
    def secrets_dir(self) -> Path:
        """The folder of secret files."""
        return self.state_dir.resolve() / "secrets"

    @property
    def logs_dir(self) -> Path:
        """The folder with one folder of log files per function."""
        return self.state_dir.resolve() / "logs"
