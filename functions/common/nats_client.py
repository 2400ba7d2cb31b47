"""The NATS client: its API's subjects, TLS, and refusals in words."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import DEFAULT_PREFIX

_REFUSAL = re.compile(
    rb"\A-ERR\s+'Permissions Violation for (Publish|Subscription) to \"([^\"]+)\""
)


class NatsConnectError(NatsError):
    """No connection to NATS; the message says why, and what to do."""


class NotPermittedError(NatsTimeoutError):
    """The NATS user lacks a right; the server would leave the request without an answer."""

    def __init__(self, verb: str, subject: str, advice: str = "") -> None:
        super().__init__()
        self.text = f'the NATS user may not {verb} "{subject}" (permissions violation)'
        if advice:
            self.text += f": {advice}"

    def __str__(self) -> str:
        return self.text


class NatsClient(Client):
    """A client that knows its JetStream API, and the limits of its rights.

    It sends its login through TLS only, where TLS is asked for: the library sends it in the clear
    where the server says that it has no TLS, which anybody between the two can say. A request to
    which the user has no right fails at once: the library would wait for its time-out.
    """

    def __init__(self, api_prefix: str = DEFAULT_PREFIX) -> None:
        """Make a client without a connection.

        Args:
            api_prefix: what the subjects of the JetStream API begin with.
        """
        super().__init__()
        self.api_prefix = api_prefix
        self.on_reconnect: set[Callable[[], None]] = set()
        """Called when a lost connection is back."""
        self._asking: dict[str, list[asyncio.Timeout]] = {}
        self._refused_inbox: str | None = None
        self.refused: dict[str, NotPermittedError] = {}
        """By subject, what was published without the right to it since the connection was made."""
        self.tolerated: set[str] = set()
        """Subjects of requests that may be refused: only who sends the request hears of it."""

    def jetstream(self, **opts: Any) -> JetStreamContext:
        """Return a JetStream context that uses this connection's API."""
        return super().jetstream(**{"prefix": self.api_prefix, **opts})  # pyright: ignore[reportUnknownMemberType] - untyped arguments in nats-py

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109 - the library's argument
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Send a request, and return the response.

        Raises:
            NotPermittedError: the user may not send it.
            nats.errors.Error: there is no response, or no connection.
        """
        if self._refused_inbox:
            raise self._refused_request(subject)
        limit = asyncio.timeout(None)
        limits = self._asking.setdefault(subject, [])
        limits.append(limit)
        try:
            async with limit:
                return await super().request(subject, payload, timeout, old_style, headers)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._refused_request(subject) from None
        finally:
            limits.remove(limit)
            if not limits:
                del self._asking[subject]

    async def _process_err(self, err_msg: str) -> None:
        # the library's text is in small letters; subjects are not
        refusal = _REFUSAL.match(bytes(self._ps.buf)) if self._ps else None
        if refusal is None:
            await super()._process_err(err_msg)
            return
        verb, subject = refusal[1], refusal[2].decode(errors="replace")
        if verb == b"Publish":
            self._end_requests(self._asking.get(subject, ()))
            error = self.refused[subject] = NotPermittedError("publish to", subject)
            if subject in self.tolerated:
                return
        elif subject.startswith(self._inbox_prefix.decode()):
            self._refused_inbox = subject
            self._end_requests(chain.from_iterable(self._asking.values()))
            error = self._refused_request(subject)
        else:
            error = NotPermittedError("subscribe to", subject)
        await self._error_cb(error)

    def _refused_request(self, subject: str) -> NotPermittedError:
        if self._refused_inbox is None:
            return NotPermittedError("publish to", subject)
        advice = "set NATS_INBOX_PREFIX to where it may receive replies"
        return NotPermittedError("subscribe to", self._refused_inbox, advice)

    @staticmethod
    def _end_requests(limits: Iterable[asyncio.Timeout]) -> None:
        now = asyncio.get_running_loop().time()
        for limit in limits:
            limit.reschedule(now)

    def _connect_command(self) -> bytes:
        self.refused.clear()
        self._refused_inbox = None  # it may be another's rights, or others, from now on
        server = self._current_server
        wanted = "tls" in self.options or (server is not None and server.uri.scheme == "tls")
        if wanted and not self._server_info.get("tls_required"):
            raise NatsError("the server offers no TLS, and the login is sent through TLS only")
        return super()._connect_command()


def api_prefix(nc: Client) -> str:
    """Return what the subjects of a connection's JetStream API begin with."""
    return nc.api_prefix if isinstance(nc, NatsClient) else DEFAULT_PREFIX


def api_subject(nc: Client, name: str) -> str:
    """Return the subject of a request to a connection's JetStream API, such as `STREAM.NAMES`."""
    return f"{api_prefix(nc)}.{name}"


def bucket_subject(nc: Client, subject: str) -> str:
    """Return where to publish an entry of a bucket, which is stored under `subject`.

    In another domain buckets are written by way of the API, as NATS' own clients do: a bucket of
    the same name may be on this side, too.
    """
    prefix = api_prefix(nc)
    return subject if prefix == DEFAULT_PREFIX else f"{prefix}.{subject}"


def fault_text(error: BaseException) -> str:
    """Return why there is no connection to NATS, and what to do about it."""
    text = str(error) or type(error).__name__
    advice = _advice(error, text.lower())
    return f"{text}: {advice}" if advice else text


_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's codes for a certificate of another host name or address."""
_ADVICE = (
    (
        "certificate required",
        "the server wants a client certificate: set NATS_CERT_FILE and NATS_KEY_FILE (secret files "
        "nats-cert and nats-key)",
    ),
    (" alert ", "the server refuses the client's certificate: another CA's, or it has expired"),
    (
        "authorization violation",
        "check NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_CREDS_FILE or NATS_NKEY_SEED_FILE",
    ),
    ("maximum connections exceeded", "the server or the account has no room for another client"),
)
"""What texts of errors hold, and what to do then."""


def _advice(error: BaseException, text: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return "the certificate is for another host name: use that in NATS_URL"
        return (
            "the server's certificate is not signed by a CA known here: put its CA into "
            "NATS_CA_FILE (secret file nats-ca)"
        )
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is NATS running, and NATS_URL right?"
    if isinstance(error, socket.gaierror):
        return "there is no such host: is NATS_URL right?"
    plain = text.replace("_", " ")
    return next((advice for part, advice in _ADVICE if part in plain), "")
