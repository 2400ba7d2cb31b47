"""Addresses of the internet: which of them are public, and which only wrap another one."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def parse_address(host: str) -> Address | None:
    """Return an address, the IPv4 one where IPv6 only wraps it; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def is_public(address: Address) -> bool:
    """Return whether an address is one of the internet, not of one's own machine or network."""
    return address.is_global and not address.is_multicast
