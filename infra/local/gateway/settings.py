"""Settings of the local platform's gateway, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from functions.common.durations import Seconds
from functions.common.paths import ROOT


class GatewaySettings(BaseSettings):
    """How the gateway runs functions. Each field is an environment variable in upper case."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    state_dir: Path = Path(".universe")
    """Holds secrets, logs and the deployed functions."""
    gateway_host: str = "127.0.0.1"
    """Address that the gateway listens on."""
    gateway_port: int = 8080
    """Port that the gateway listens on, 0 for any free one."""
    root: Path = ROOT
    """The folder that `functions/...` and relative handler paths are resolved in."""

    basic_auth: bool = True
    """Whether `/system/*` requires user `admin` and the password in
    `STATE_DIR/secrets/basic-auth-password` (created at the first start)."""
    namespace: str = "openfaas-fn"
    """The one namespace."""

    scale_to_zero: bool = True
    """Whether idle functions scale to zero where the label `com.openfaas.scale.zero` is absent."""
    zero_duration: Seconds | None = None
    """Idle time after which a function scales to zero. Set, it overrides each function's label
    `com.openfaas.scale.zero-duration`; unset, the label holds, else 5 minutes."""

    cold_start_timeout: Seconds = 60.0
    """How long a request waits for a replica, and a replica may take to become ready."""
    upstream_timeout: Seconds = 900.0
    """How long a function may take until its response begins; then the gateway responds 504."""
    drain_timeout: Seconds = 900.0
    """How long a replica that is being removed may take to finish its requests in flight."""
    term_timeout: Seconds = 30.0
    """How long a replica may take to exit on SIGTERM before it is killed."""
    parallel_starts: int = Field(default=2, ge=1)
    """How many replicas start at the same time."""

    nats_url: str | None = None
    """NATS for `/async-function/*`; without it such requests are answered with 501."""
    async_concurrency: int = Field(default=4, ge=1)
    """How many asynchronous calls of one function run at the same time."""
    async_max_body: int = Field(default=8 * 1024**2, ge=1)
    """Maximum body of an asynchronous call in bytes; NATS' `max_payload` may be less."""

    log_max_bytes: int = Field(default=8 * 1024**2, ge=4096)
    """Size at which a function's log file is rotated; one older file is kept."""

    function_env: dict[str, str] = Field(default_factory=dict)
    """Environment of every replica, which takes precedence over its deployment: where this
    machine's NATS and PostgreSQL are, in place of the host names of a cluster."""

    handler_env: dict[str, dict[str, str]] = Field(default_factory=dict)
    """The same for the replicas of one handler, by its module."""

    @property
    def secrets_dir(self) -> Path:
        """The folder of secret files."""
        return self.state_dir.resolve() / "secrets"

    @property
    def logs_dir(self) -> Path:
        """The folder with one folder of log files per function."""
        return self.state_dir.resolve() / "logs"
