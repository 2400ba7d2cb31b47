"""Posts a message to a webhook.

Who may write chooses its address, so the name is looked up here and the connection goes to an
address that was checked: a name cannot lead to this machine's own network, nor can a redirect.
"""

import http.client
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from functions.common import signature
from functions.common.addresses import is_public, parse_address
from functions.common.json_text import to_json

from ..settings import AlertsSettings
from .errors import SendError
from .message import Message

AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 with which it is tried again."""


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked, for the name of its host."""

    def __init__(self, parts: SplitResult, address: str, timeout: float) -> None:
        self._tls = parts.scheme == "https"
        self.default_port = 443 if self._tls else 80
        super().__init__(parts.hostname or "", parts.port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        """Connect to the address, not to what the name is now."""
        sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._tls:
            context = ssl.create_default_context()
            sock = context.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock


def post(options: AlertsSettings, url: str, message: Message, about: dict[str, object]) -> None:
    """Post a message as JSON, signed where there is a key.

    Args:
        options: time-out, keys, and whether private addresses are allowed.
        url: where to.
        message: what it says.
        about: members of the document that say what it is about.

    Raises:
        SendError: it was not taken.
    """
    parts = urlsplit(url)
    lines = [message.subject, *message.sentences]
    lines += [" ".join((row.title, row.value, row.change)).strip() for row in message.rows]
    body = to_json(
        {
            "kind": message.kind,
            **about,
            # what chats show of such a document
            "text": "\n".join([*lines, *([message.link] if message.link else [])]),
            "link": message.link or None,
            **message.data,
        }
    )
    headers = {"Content-Type": "application/json", "User-Agent": "Universe"}
    if options.alerts_signing_key:
        secrets = [key.encode() for key in options.alerts_signing_key]
        headers[signature.HEADER] = signature.sign(secrets, body, time.time())
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = _Connection(parts, _address_of(parts, options), options.alerts_timeout)
        try:
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SendError(f"it cannot be reached: {error}") from error
    if 300 <= status < 400:
        raise SendError(f"it answers {status}: no redirect is followed", for_good=True)
    if not 200 <= status < 300:
        raise SendError(f"it answers {status}", for_good=status < 500 and status not in AGAIN)


def _address_of(parts: SplitResult, options: AlertsSettings) -> str:
    """Return an address of the host that messages may be sent to.

    Raises:
        SendError: it has none.
        OSError: it is not known.
    """
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    for text in addresses:
        address = parse_address(text)
        if options.alerts_private_addresses or (address is not None and is_public(address)):
            return text
    raise SendError(
        "its address is private: ALERTS_PRIVATE_ADDRESSES=true would allow it", for_good=True
    )
