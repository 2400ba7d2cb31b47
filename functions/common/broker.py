"""NATS JetStream: the connection, and the streams of events and dead letters."""

import asyncio
import logging
import re
import ssl
from collections import deque
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DEFAULT_PREFIX, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from pydantic import Field, StringConstraints, model_validator

from functions.common.dead_letter import DLQ_DAYS
from functions.common.durations import Seconds
from functions.common.jetstream_errors import JetStreamErrorCode
from functions.common.log_on_change import LogOnChange
from functions.common.nats_client import NatsClient, NatsConnectError, NotPermittedError, fault_text
from functions.common.settings import ComponentSettings, secrets_dir

logger = logging.getLogger(__name__)

EVENTS = "EVENTS"
EVENTS_DLQ = "EVENTS_DLQ"
EVENTS_SUBJECT = "events"
EVENTS_DLQ_SUBJECT = f"dlq.{EVENTS}.{EVENTS_SUBJECT}"

EVENT_COUNT = "Event-Count"
MSG_ID = "Nats-Msg-Id"

_HEADER_BYTES = 4096
_STEPS = 6
"""Connection, greeting and login, each of which may take nats_connect_timeout, twice."""
_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


Subject = Annotated[str, StringConstraints(pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$")]
Token = Annotated[str, StringConstraints(pattern=r"^[^\s.*>]+$")]


class BrokerSettings(ComponentSettings):
    """How to reach NATS, and the limits of the streams."""

    nats_url: str = Field(
        default="nats://127.0.0.1:4222", description="NATS servers, comma-separated"
    )
    nats_user: str | None = Field(default=None, description="user name")
    nats_password: str | None = Field(default=None, description="password of nats_user")
    nats_token: str | None = Field(default=None, description="token, instead of a user")
    nats_creds_file: Path | None = Field(
        default=None,
        description="credentials file; by default the secret file nats-creds, if there",
    )
    nats_nkey_seed_file: Path | None = Field(
        default=None, description="nkey seed file; by default the secret file nats-nkey, if there"
    )
    nats_ca_file: Path | None = Field(
        default=None,
        description="CA certificate for TLS, without which no login is sent then; by default the "
        "secret file nats-ca, if there",
    )
    nats_cert_file: Path | None = Field(
        default=None,
        description="client certificate for mutual TLS, with its chain; by default the secret file"
        " nats-cert, if there",
    )
    nats_key_file: Path | None = Field(
        default=None,
        description="key of nats_cert_file; by default the secret file nats-key, if there",
    )
    nats_inbox_prefix: Subject | None = Field(
        default=None,
        description="subject below which replies arrive; by default _INBOX.<user>, or _INBOX",
    )
    nats_js_domain: Token | None = Field(
        default=None, description="JetStream domain, such as that of a leaf node"
    )
    nats_js_api_prefix: Subject | None = Field(
        default=None,
        description="subject before those of the JetStream API, where another account's is"
        " imported; by default $JS.API, or $JS.<domain>.API",
    )
    nats_connect_timeout: Seconds = Field(
        default=2.0, description="seconds for one attempt to connect"
    )
    stream_max_bytes: int = Field(
        default=4 * 1024**3,
        description="size of the stream EVENTS in bytes; publishing beyond it fails",
    )
    dlq_max_bytes: int = Field(
        default=1024**3,
        gt=0,
        description="size in bytes of a stream of dead letters that is made; beyond it the oldest"
        " are deleted",
    )
    stream_replicas: int = Field(default=1, description="copies of each stream in the NATS cluster")

    @model_validator(mode="after")
    def _check_api(self) -> Self:
        if self.nats_js_domain and self.nats_js_api_prefix:
            raise ValueError("set NATS_JS_DOMAIN or NATS_JS_API_PREFIX, not both")
        return self

    @property
    def api_prefix(self) -> str:
        """What the subjects of the JetStream API begin with."""
        if self.nats_js_domain:
            return f"$JS.{self.nats_js_domain}.API"
        return self.nats_js_api_prefix or DEFAULT_PREFIX


def _file(configured: Path | None, secret: str) -> str | None:
    path = configured or secrets_dir() / secret
    return str(path) if configured or path.is_file() else None


def _inbox_prefix(settings: BrokerSettings) -> str:
    """Return the subject below which replies arrive: the user's own, which no other may read."""
    if settings.nats_inbox_prefix:
        return settings.nats_inbox_prefix
    user = settings.nats_user or urlsplit(settings.nats_url.split(",")[0].strip()).username
    return f"_INBOX.{_NOT_A_TOKEN.sub('_', user)}" if user else "_INBOX"


def _tls(settings: BrokerSettings) -> ssl.SSLContext | None:
    """Return how TLS is done; None where only the scheme of the URL, or the server, asks for it.

    Raises:
        NatsConnectError: a file cannot be used.
    """
    ca = _file(settings.nats_ca_file, "nats-ca")
    certificate = _file(settings.nats_cert_file, "nats-cert")
    key = _file(settings.nats_key_file, "nats-key")
    if not (ca or certificate or key):
        return None
    if key and not certificate:
        raise NatsConnectError(f"there is a key for TLS, {key}, and no NATS_CERT_FILE")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise NatsConnectError(f"the CA certificate {ca} cannot be used: {error}") from error
    if certificate:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            files = f"{certificate} and its key {key or '(in the same file)'}"
            raise NatsConnectError(f"{files} cannot be used: {error}") from error
    return context


def without_login(url: str) -> str:
    """Return NATS URLs, comma-separated, without user, password and token: for people to read."""
    shown: list[str] = []
    for each in url.split(","):
        scheme, separator, rest = each.strip().rpartition("://")
        shown.append(scheme + separator + rest.rpartition("@")[2])
    return ",".join(shown)


async def connect(settings: BrokerSettings, name: str, *, forever: bool = True) -> NatsClient:
    """Connect to NATS.

    Args:
        settings: where, and with which credentials.
        name: what the server calls this client in its monitoring.
        forever: reconnect without limit once the first connection has succeeded.

    Raises:
        NatsConnectError: no server could be reached, or it refused the credentials.
    """
    on_change = LogOnChange(logger)
    faults: deque[Exception] = deque(maxlen=1)

    async def on_error(error: Exception) -> None:
        faults.append(error)
        if isinstance(error, NotPermittedError):
            on_change.log(("refused", str(error)), f"NATS: {error}", level=logging.ERROR)
            return
        on_change.log("error", f"NATS: {fault_text(error)}")

    async def on_disconnect() -> None:
        logger.warning("NATS connection lost")

    async def on_reconnect() -> None:
        on_change.recovered("error")
        logger.info("NATS connection is back")
        for listener in list(nc.on_reconnect):
            listener()

    servers = [url.strip() for url in settings.nats_url.split(",")]
    nc = NatsClient(settings.api_prefix)
    context = _tls(settings)
    try:
        # after a refused certificate the client waits for the end of the connection, without end
        async with asyncio.timeout(_STEPS * settings.nats_connect_timeout * len(servers) + 1):
            await nc.connect(  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
                servers,
                name=name,
                inbox_prefix=_inbox_prefix(settings),
                user=settings.nats_user,
                password=settings.nats_password,
                token=settings.nats_token,
                user_credentials=_file(settings.nats_creds_file, "nats-creds"),
                nkeys_seed=_file(settings.nats_nkey_seed_file, "nats-nkey"),
                tls=context,
                # declared as int, used as a number of seconds
                connect_timeout=settings.nats_connect_timeout,  # pyright: ignore[reportArgumentType]
                # the first is tried twice per server: the caller decides about further attempts
                allow_reconnect=True,
                max_reconnect_attempts=1,
                reconnect_time_wait=0.25,  # pyright: ignore[reportArgumentType] - as above
                ping_interval=10,
                error_cb=on_error,
                disconnected_cb=on_disconnect,
                reconnected_cb=on_reconnect,
            )
    except (NatsError, OSError) as error:  # a time-out is an OSError
        cause = faults[-1] if faults else error
        raise NatsConnectError(fault_text(cause)) from error
    # not from the start: the client would try the first connection without limit, too
    nc.options["allow_reconnect"] = forever
    nc.options["max_reconnect_attempts"] = -1
    return nc


def events_stream(settings: BrokerSettings) -> StreamConfig:
    """Return the configuration of the stream that accepted events wait in."""
    return StreamConfig(
        name=EVENTS,
        subjects=[f"{EVENTS_SUBJECT}.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        # one limit only: two with discard-new have lost messages (nats-server#4771)
        discard=DiscardPolicy.NEW,
        max_bytes=settings.stream_max_bytes,
        duplicate_window=120,
        num_replicas=settings.stream_replicas,
        allow_direct=True,
    )


def dlq_stream(settings: BrokerSettings) -> StreamConfig:
    """Return the configuration of the stream that keeps dead letters."""
    return dead_letter_stream(
        EVENTS_DLQ, [f"dlq.{EVENTS}.>"], settings.dlq_max_bytes, settings.stream_replicas
    )


def dead_letter_stream(
    name: str, subjects: list[str], max_bytes: int, replicas: int
) -> StreamConfig:
    """Return the configuration of a stream of dead letters.

    It keeps them for `DLQ_DAYS`, and the newest that fit into `max_bytes`: anybody who may send an
    event may send an invalid one, and the disk is also that of the events.

    Args:
        name: the stream's name.
        subjects: its subjects.
        max_bytes: its size; beyond it the oldest dead letters are deleted.
        replicas: copies in the NATS cluster.
    """
    return StreamConfig(
        name=name,
        subjects=subjects,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=DLQ_DAYS * 24 * 3600,
        discard=DiscardPolicy.OLD,
        max_bytes=max_bytes,
        duplicate_window=120,
        num_replicas=replicas,
        allow_direct=True,
    )


async def ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Create the stream, or change it where it differs from `config`; do nothing where it agrees.

    Raises:
        nats.js.errors.APIError: the server refuses, for example for want of disk space.
    """
    assert config.name is not None
    try:
        existing = (await js.stream_info(config.name)).config
    except NotFoundError:
        await create_stream(js, config)
        return
    wanted = {key: value for key, value in config.as_dict().items() if value is not None}
    if any(existing.as_dict().get(key) != value for key, value in wanted.items()):
        logger.info("changing the limits of stream %s", config.name)
        await js.update_stream(config)  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py


async def create_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Create the stream; do nothing if somebody else has created it meanwhile.

    Raises:
        nats.js.errors.APIError: the server refuses, for example for want of disk space.
    """
    try:
        await js.add_stream(config)  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py
    except APIError as error:
        if error.err_code != JetStreamErrorCode.STREAM_NAME_EXIST:
            raise


async def ensure_streams(js: JetStreamContext, settings: BrokerSettings) -> None:
    """Make sure that the streams EVENTS and EVENTS_DLQ exist as the settings want them."""
    await ensure_stream(js, events_stream(settings))
    await ensure_stream(js, dlq_stream(settings))


def subject_token(name: str | None) -> str:
    """Return `name` as one token of a subject; `unknown` where there is none."""
    return _NOT_A_TOKEN.sub("_", name or "")[:64] or "unknown"


def largest_payload(nc: Client) -> int:
    """Return how many bytes a message's payload may have, its headers left out."""
    return nc.max_payload - _HEADER_BYTES
