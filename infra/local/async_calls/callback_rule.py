"""Which addresses the results of asynchronous calls may be posted to.

Whoever may call a function may name a callback, so without a rule the gateway would post for them
to any server that it can reach: those of its own machine and network first of all.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

from functions.common.addresses import Address, is_public, parse_address
from infra.local.errors import CallbackRefusedError

_SETTING = "ALLOWED_CALLBACK_HOSTS"
_LOOPBACK = ("127.0.0.0/8", "::1/128")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class _Name:
    """A listed name; `*` for all, `*.example.com` for those below it."""

    name: str
    port: int | None

    def matches(self, host: str, port: int) -> bool:
        if self.port not in {None, port}:
            return False
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return self.name in {"*", host}


@dataclass(frozen=True)
class _Addresses:
    """A listed address or network."""

    network: Network
    port: int | None

    def matches(self, address: Address, port: int) -> bool:
        return self.port in {None, port} and address in self.network


class CallbackRule:
    """The allow-list of callbacks."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Read the list.

        Args:
            entries: names, addresses, each with or without a port, and networks.

        Raises:
            ValueError: an entry is none of these.
        """
        self._names: list[_Name] = []
        self._addresses: list[_Addresses] = []
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        if "/" in entry:
            self._addresses.append(_Addresses(ipaddress.ip_network(entry, strict=False), None))
            return
        host, port = _split_port(entry)
        address = parse_address(host)
        if address is not None:
            self._addresses.append(_Addresses(ipaddress.ip_network(address), port))
            return
        self._names.append(_Name(host, port))
        if host == "localhost":
            loopback = map(ipaddress.ip_network, _LOOPBACK)
            self._addresses += [_Addresses(network, port) for network in loopback]

    def check(self, url: str) -> None:
        """Refuse a callback to a host that is not listed.

        What a name resolves to is checked when it is connected to: it may be another address then.

        Raises:
            CallbackRefusedError: it is not listed, or no callback is.
        """
        if not (self._names or self._addresses):
            raise CallbackRefusedError(
                f"callbacks are off: set {_SETTING} to the hosts that results may be posted to"
            )
        try:
            parsed = URL(url)
            host, port = (parsed.host or "").lower().rstrip("."), parsed.port or 0
        except ValueError as error:
            raise CallbackRefusedError(f"the callback is not a URL: {error}") from error
        address = parse_address(host)
        if address is None:
            allowed = any(name.matches(host, port) for name in self._names)
        else:
            any_host = any(name.name == "*" and name.matches(host, port) for name in self._names)
            allowed = self._lists(address, port) or (any_host and is_public(address))
        if not allowed:
            raise CallbackRefusedError(f"{host}:{port} is not listed in {_SETTING}")

    def allows_address(self, host: str, port: int) -> bool:
        """Return whether a connection may be made to what a listed name has resolved to."""
        address = parse_address(host)
        return address is not None and (is_public(address) or self._lists(address, port))

    def _lists(self, address: Address, port: int) -> bool:
        return any(listed.matches(address, port) for listed in self._addresses)


def _split_port(entry: str) -> tuple[str, int | None]:
    host, port = entry, ""
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        host, _, port = entry.partition(":")
    if not host or (port and not port.isdigit()):
        raise ValueError(f"{entry} is not a host, an address or a network")
    return host.lower().rstrip("."), int(port) if port else None
