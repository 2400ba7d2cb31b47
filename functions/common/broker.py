"""NATS JetStream: the connection, and the streams of events and dead letters."""

import asyncio
import logging
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from pydantic import Field

from functions.common.dead_letter import DLQ_DAYS
from functions.common.durations import Seconds
from functions.common.jetstream_errors import JetStreamErrorCode
from functions.common.log_on_change import LogOnChange
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


def _file(configured: Path | None, secret: str) -> str | None:
    path = configured or secrets_dir() / secret
    return str(path) if configured or path.is_file() else None


def _inbox_prefix(settings: BrokerSettings) -> str:
    """Return the subject below which replies arrive: the user's own, which no other may read."""
    user = settings.nats_user or urlsplit(settings.nats_url.split(",")[0].strip()).username
    return f"_INBOX.{_NOT_A_TOKEN.sub('_', user)}" if user else "_INBOX"


def without_login(url: str) -> str:
    """Return NATS URLs, comma-separated, without user, password and token: for people to read."""
    shown: list[str] = []
    for each in url.split(","):
        scheme, separator, rest = each.strip().rpartition("://")
        shown.append(scheme + separator + rest.rpartition("@")[2])
    return ",".join(shown)


class _Client(Client):
    """A client that sends its login through TLS only, where TLS is asked for.

    The library sends it in the clear where the server says that it has no TLS, which anybody
    between the two can say.
    """

    def _connect_command(self) -> bytes:
        server = self._current_server
        wanted = "tls" in self.options or (server is not None and server.uri.scheme == "tls")
        if wanted and not self._server_info.get("tls_required"):
            raise NatsError("the server offers no TLS, and the login is sent through TLS only")
        return super()._connect_command()


async def connect(settings: BrokerSettings, name: str, *, forever: bool = True) -> Client:
    """Connect to NATS.

    Args:
        settings: where, and with which credentials.
        name: what the server calls this client in its monitoring.
        forever: reconnect without limit once the first connection has succeeded.

    Raises:
        nats.errors.Error, OSError: no server could be reached, or it refused the credentials.
    """
    ca = _file(settings.nats_ca_file, "nats-ca")

    on_change = LogOnChange(logger)

    async def on_error(error: Exception) -> None:
        on_change.log("error", f"NATS: {str(error) or type(error).__name__}")

    async def on_disconnect() -> None:
        logger.warning("NATS connection lost")

    async def on_reconnect() -> None:
        on_change.recovered("error")
        logger.info("NATS connection is back")

    servers = [url.strip() for url in settings.nats_url.split(",")]
    nc = _Client()
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
            tls=ssl.create_default_context(cafile=ca) if ca else None,
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
