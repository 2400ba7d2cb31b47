"""Which requests the gateway looks at at all: by the Host they name and the Origin they come from.

A browser lets any page send requests to a loopback address. Two rules keep foreign pages out:

* The Host must be a name of this gateway. A foreign name that resolves to this machine (DNS
  rebinding) makes the browser take the gateway for a part of that site, and its answers readable.
* A request that a page sends carries its Origin, which must be the gateway's own. A foreign page
  cannot read the answers, but may send what needs no permission: POST with text/plain, for one.
"""

import ipaddress
from urllib.parse import urlsplit

from infra.local.errors import GatewayRefusalError
from infra.local.gateway import refusals
from infra.local.gateway.settings import GatewaySettings

_ALL_ADDRESSES = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_MAX_REMEMBERED_HOSTS = 256


class HostRule:
    """Which values of the header Host are names of this gateway."""

    def __init__(self, listens_on: str, allowed: frozenset[str]) -> None:
        """Allow loopback names, the address it listens on, and `allowed` names.

        Args:
            listens_on: GATEWAY_HOST.
            allowed: further names; `*.example.com` for those below it, `*` for all.
        """
        self._any = "*" in allowed
        self._any_address = listens_on in _ALL_ADDRESSES
        self._names = allowed | {"localhost", listens_on.lower()}
        self._suffixes = tuple(name[1:] for name in allowed if name.startswith("*."))
        self._remembered: set[str] = set()

    def allows(self, host: str) -> bool:
        """Return whether a value of the header is a name of this gateway."""
        if host in self._remembered:
            return True
        if not (self._any or self._allows_name(_name_in(host))):
            return False
        if len(self._remembered) < _MAX_REMEMBERED_HOSTS:
            self._remembered.add(host)
        return True

    def _allows_name(self, name: str) -> bool:
        if name in self._names or name.endswith(self._suffixes):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # an address cannot be rebound: a page has it as its host only if this gateway served it
        return address.is_loopback or self._any_address


def _name_in(host: str) -> str:
    """Return the name in a Host header: without port, brackets, upper case and a last dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower().rstrip(".") if ":" in host else host.lower().rstrip(".")


class Admission:
    """Checks each request before it is served."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._hosts = HostRule(settings.gateway_host, settings.host_names)
        self._origins = settings.origins

    def check(
        self,
        host: str | None,
        origin: str | None,
        forwarded_host: str | None,
        *,
        http11: bool,
        to_function: bool,
    ) -> None:
        """Let a request through.

        Args:
            host: its header Host, and so on.
            origin: its header Origin.
            forwarded_host: its header X-Forwarded-Host.
            http11: whether it is HTTP/1.1, and not 1.0.
            to_function: whether it is an invocation.

        Raises:
            GatewayRefusalError: it is not let through.
        """
        if host is None or not self._hosts.allows(host):
            _refuse_host(host, http11=http11)
        if origin is not None:
            self._check_origin(origin, (host or "", forwarded_host or ""), to_function=to_function)

    def _check_origin(self, origin: str, own: tuple[str, str], *, to_function: bool) -> None:
        # A proxy in front puts its name into X-Forwarded-Host. A foreign page cannot set that: the
        # browser would ask first (OPTIONS), with the page's Origin, and be refused.
        site = urlsplit(origin).netloc  # empty if the browser hides the origin ("null")
        if site and site.lower() in {name.lower() for name in own}:
            return
        if to_function and ("*" in self._origins or origin.lower() in self._origins):
            return
        raise GatewayRefusalError(
            refusals.ORIGIN,
            403,
            f"requests from other sites are refused; this one comes from {origin[:200]}"
            + (": add it to ALLOWED_ORIGINS if it may call functions" if to_function else ""),
        )


def _refuse_host(host: str | None, *, http11: bool) -> None:
    if host is not None:
        raise GatewayRefusalError(
            refusals.HOST,
            421,
            f"{host[:200]} is not a name of this gateway: add it to ALLOWED_HOSTS if it should be",
        )
    if http11:  # before 1.1 there is no Host, and no browser sends that
        raise GatewayRefusalError(refusals.HOST, 400, "the request has no Host")
