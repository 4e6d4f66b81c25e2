"""Which addresses webhooks may reach; a table, since each row was somebody's way into a network."""

from __future__ import annotations

import pytest

from waiting_room.domain.addresses import address_of, may_reach, networks_of

PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "::8.8.8.8"]
REFUSED = {
    "127.0.0.1": "loopback",
    "127.1.2.3": "loopback",
    "::1": "loopback",
    "0.0.0.0": "this host",
    "0.1.2.3": "this network",
    "::": "unspecified",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "fc00::1": "unique local",
    "fd00:ec2::254": "metadata service of a cloud",
    "169.254.169.254": "metadata service of many clouds",
    "169.254.0.1": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with a zone",
    "fec0::1": "site-local",
    "100.64.0.1": "shared address space",
    "100.100.100.200": "metadata service of a cloud",
    "168.63.129.16": "a cloud's own services at a public address",
    "192.0.0.192": "metadata service of a cloud",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "198.18.0.1": "benchmarks",
    "192.88.99.1": "6to4 relay",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "ff02::1": "multicast",
    "ff0e::1": "multicast of global scope",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::ffff:127.0.0.1": "loopback in IPv6",
    "::ffff:10.0.0.1": "private in IPv6",
    "::ffff:169.254.169.254": "metadata in IPv6",
    "::127.0.0.1": "loopback, IPv4-compatible",
    "64:ff9b::127.0.0.1": "loopback through NAT64",
    "64:ff9b::a9fe:a9fe": "metadata through NAT64",
    "64:ff9b:1::1": "local NAT64",
    "2002:7f00:1::1": "loopback through 6to4",
    "2002:808:808::1": "6to4 at all",
    "2001::7f00:1": "Teredo",
    "100::1": "discard",
    "5f00::1": "segment routing",
}


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_reached(text: str) -> None:
    assert may_reach(address_of(text), ())


@pytest.mark.parametrize("text", REFUSED)
def test_others_are_refused(text: str) -> None:
    assert not may_reach(address_of(text), ()), REFUSED[text]


def test_an_operator_may_allow_a_network_and_nothing_beside_it() -> None:
    allowed = networks_of("10.1.0.0/16, ::1/128")
    assert may_reach(address_of("10.1.2.3"), allowed)
    assert may_reach(address_of("::ffff:10.1.2.3"), allowed)
    assert may_reach(address_of("::1"), allowed)
    assert not may_reach(address_of("10.2.0.1"), allowed)
    assert not may_reach(address_of("127.0.0.1"), allowed)


def test_no_network_is_allowed_by_default() -> None:
    assert networks_of("") == ()
