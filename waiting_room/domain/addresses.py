"""Which network addresses webhooks may reach: pure. Public ones, and what the operator allows by name.

An endpoint's URL comes from outside. Without this check it could make us post into our own network: to a database, a
cloud's metadata service, a neighbour's admin page (server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's own services on every virtual machine
        "192.0.0.0/24",  # protocol assignments, Oracle's metadata service
        "192.88.99.0/24",  # 6to4 relays (deprecated)
        "64:ff9b:1::/48",  # local NAT64
        "100::/64",  # discarded
        "2002::/16",  # 6to4: wraps any IPv4 address
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing inside one network
        "fec0::/10",  # site-local (deprecated)
    )
)
"""Not public, whatever this version of Python's ``is_global`` has heard of them."""
_NAT64: Final = ip_network("64:ff9b::/96")
"""The last 32 bits are an IPv4 address."""


def networks_of(text: str) -> tuple[Network, ...]:
    """Networks in CIDR notation, comma separated. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def address_of(text: str) -> Address:
    """The address in a socket's notation, a zone (``fe80::1%eth0``) left out. Raises ValueError."""
    return ip_address(text.partition("%")[0])


def may_reach(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether webhooks may be sent there: to a public unicast address, or into one of the ``allowed`` networks.

    An IPv6 address that stands for an IPv4 one counts as that.
    """
    address = _meant(address)
    if any(address in network for network in allowed):
        return True
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)


def _meant(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if int(address) >> 32 == 0 and int(address) > 1:  # "IPv4-compatible" ::a.b.c.d (deprecated)
        return IPv4Address(int(address))
    return address
