"""The guard on sockets: a URL, a name or a name server that leads inside leads nowhere."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.support.endpoint import Endpoint, listening
from waiting_room.domain.addresses import networks_of
from waiting_room.webhook_signing import Signer, new_keys
from workers.webhooks.connect import Resolver
from workers.webhooks.post import Poster
from workers.webhooks.verdict import Answer

REFUSED = Answer(None, "address not public")


class Rebinding(AbstractResolver):
    """A name server that is asked by name and answers with what it likes, another address each time."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        return


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with listening(Endpoint("ep_1")) as endpoint:
        yield endpoint


async def ask(endpoint: Endpoint, host: str, *, allow: str = "", resolver: AbstractResolver | None = None) -> Answer:
    now = datetime.now(UTC)
    signature = Signer([new_keys(endpoint.secret)]).sign("id", now, "{}")
    headers = {"webhook-id": "id", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    async with Poster(2.0, networks_of(allow), resolver) as poster:
        return await poster.post(endpoint.url.replace("127.0.0.1", host), headers, b"{}")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0x7f000001",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "localhost",
        "169.254.169.254",
        "user:password@127.0.0.1",
    ],
)
async def test_an_address_in_the_url_is_refused_however_it_is_written(endpoint: Endpoint, host: str) -> None:
    assert await ask(endpoint, host) == REFUSED
    assert endpoint.received == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "LOCALHOST.", "127.0.0.1."])
async def test_sloppy_ways_to_write_it_lead_nowhere_either(endpoint: Endpoint, host: str) -> None:
    assert (await ask(endpoint, host)).error
    assert endpoint.received == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1", "fe80::1%lo"]
)
async def test_a_name_that_leads_inside_is_refused(endpoint: Endpoint, address: str) -> None:
    assert await ask(endpoint, "hooks.example", resolver=Rebinding(address)) == REFUSED


async def test_a_name_that_is_public_first_and_private_then_is_refused(endpoint: Endpoint) -> None:
    resolver = Rebinding("203.0.113.7", "127.0.0.1")
    await resolver.resolve("hooks.example")  # what a check at registration would have seen
    assert await ask(endpoint, "hooks.example", resolver=resolver) == REFUSED
    assert endpoint.received == []


async def test_a_network_that_is_allowed_is_reached_by_address_and_by_name(endpoint: Endpoint) -> None:
    allow = "127.0.0.0/8"
    assert (await ask(endpoint, "127.0.0.1", allow=allow)).yes
    assert (await ask(endpoint, "hooks.example", allow=allow, resolver=Rebinding("127.0.0.1"))).yes
    assert await ask(endpoint, "hooks.example", allow=allow, resolver=Rebinding("10.0.0.1")) == REFUSED


async def test_what_cannot_be_asked_is_an_answer_too(endpoint: Endpoint) -> None:
    allow = "127.0.0.0/8"
    async with Poster(0.3, networks_of(allow)) as poster:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
            assert await poster.post(url, {}, b"{}") == Answer(None, "timeout")
        assert await poster.post(url, {}, b"{}") == Answer(None, "not connected: Connection refused")
        assert (await poster.post("gopher://127.0.0.1/", {}, b"{}")).error
        assert (await poster.post("http://", {}, b"{}")).error
        assert (await poster.post(f"http://{'a' * 70}.example/", {}, b"{}")).error
        assert (await poster.post(endpoint.url.replace("http:", "https:"), {}, b"{}")).error


async def test_the_systems_resolver_knows_local_names() -> None:
    resolver = Resolver()
    try:
        found = await resolver.resolve("localhost", 80, socket.AF_INET)
        assert [(each["host"], each["port"]) for each in found] == [("127.0.0.1", 80)]
    finally:
        await resolver.close()
