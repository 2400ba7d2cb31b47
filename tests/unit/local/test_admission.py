"""Whose requests the local gateway lets in: hosts, and lists that are set wrongly."""

import pytest
from pydantic import ValidationError

from infra.local.gateway.admission import HostRule
from infra.local.gateway.settings import GatewaySettings


def test_addresses_are_allowed_where_it_listens_on_all() -> None:
    """An address is no name that could be rebound; without being asked to, none of the network."""
    everywhere, here = HostRule("0.0.0.0", frozenset()), HostRule("127.0.0.1", frozenset())
    assert everywhere.allows("192.168.1.7:8080")
    assert everywhere.allows("[fd00::1]:8080")
    assert not here.allows("192.168.1.7:8080")
    assert not everywhere.allows("evil.example:8080")
    assert HostRule("10.1.1.1", frozenset()).allows("10.1.1.1:8080")
    below = HostRule("127.0.0.1", frozenset({"*.example.com"}))
    assert below.allows("a.b.example.com")
    assert not below.allows("example.com")
    assert not below.allows("evilexample.com")
    assert HostRule("127.0.0.1", frozenset({"*"})).allows("any.example")


@pytest.mark.parametrize(
    "settings",
    [
        {"allowed_hosts": "https://public.example"},
        {"allowed_hosts": "public.example:443"},
        {"allowed_origins": "shop.example"},
        {"allowed_origins": "https://shop.example/path"},
        {"allowed_callback_hosts": "http://hooks.example/"},
        {"allowed_callback_hosts": "hooks.example:http"},
    ],
)
def test_a_list_that_would_match_nothing_is_refused(settings: dict[str, str]) -> None:
    """A door that is set wrongly does not stay open or closed in silence."""
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(settings)
