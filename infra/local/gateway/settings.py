"""Settings of the local platform's gateway, from the environment."""

import ipaddress
import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from functions.common.durations import Seconds
from functions.common.paths import ROOT
from infra.local.async_calls.callback_rule import CallbackRule

_HOST = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+")


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
    allowed_hosts: str = ""
    """Names by which requests may call the gateway (header `Host`), comma-separated, besides
    those of the loopback interface and `GATEWAY_HOST`: those of a reverse proxy in front.
    `*.example.com` stands for the names below it, `*` for all, which opens the gateway to DNS
    rebinding."""
    allowed_origins: str = ""
    """Origins such as `https://shop.example.com` whose pages may call functions, comma-separated;
    `*` for all. Pages of other sites are refused. The system API takes none but the gateway's
    own."""
    allowed_callback_hosts: str = ""
    """Where results of asynchronous calls may be posted (header `X-Callback-Url`): names,
    `*.example.com`, addresses, each with or without `:PORT`, networks such as `10.0.0.0/8`, `*`
    for any name, comma-separated. Empty: nowhere. A name counts for public addresses only, unless
    the address is listed as well (`localhost` lists the loopback addresses)."""

    body_timeout: Seconds = 30.0
    """How long a request's body is waited for: in each such time it must end, or bring another
    256 KiB; else 408, and the connection is closed."""
    body_buffer_bytes: int = Field(default=8 * 1024**2, ge=0)
    """Bodies up to this size are received whole before a replica is picked; larger ones stream.
    It should be above the connector's `NATS_BATCH_BYTES`."""
    body_buffer_total_bytes: int = Field(default=64 * 1024**2, ge=1024**2)
    """Memory for bodies that are received whole. Where it is used up, the slowest body is
    ended."""
    max_streamed_bodies: int = Field(default=2, ge=1)
    """How many larger bodies one function receives at the same time; others wait. It should be
    less than the threads of a function."""
    response_timeout: Seconds = 30.0
    """How long a client may read nothing of a response that is longer than what is buffered; then
    its connection is closed, and the function's thread is free."""
    max_connections: int = Field(default=512, ge=8)
    """Connections of clients at the same time. A further one takes the place of the oldest on which
    no request is being served; where there is none, it is refused with 503."""

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

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_names(cls, value: str) -> str:
        for name in _listed(value):
            if not _HOST.fullmatch(name) and not _is_address(name):
                raise ValueError(f"{name} is not a host's name: leave out scheme, port and path")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins_have_schemes(cls, value: str) -> str:
        for origin in _listed(value):
            if origin not in {"*", "null"} and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin} is not an origin such as https://shop.example.com")
        return value

    @field_validator("allowed_callback_hosts")
    @classmethod
    def _callback_hosts_are_hosts(cls, value: str) -> str:
        CallbackRule(_listed(value))
        return value

    @property
    def callback_rule(self) -> CallbackRule:
        """`allowed_callback_hosts` as a rule."""
        return CallbackRule(_listed(self.allowed_callback_hosts))

    @property
    def host_names(self) -> frozenset[str]:
        """`allowed_hosts` as names."""
        return _listed(self.allowed_hosts)

    @property
    def origins(self) -> frozenset[str]:
        """`allowed_origins` one by one."""
        return _listed(self.allowed_origins)

    @property
    def secrets_dir(self) -> Path:
        """The folder of secret files."""
        return self.state_dir.resolve() / "secrets"

    @property
    def logs_dir(self) -> Path:
        """The folder with one folder of log files per function."""
        return self.state_dir.resolve() / "logs"


def _listed(value: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in value.split(",") if part.strip())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
