"""Which URLs may be endpoints; addresses behind names are looked at when they are called."""

from __future__ import annotations

import pytest

from ingress.webhook_url import why_not
from waiting_room.domain.addresses import networks_of

HOSTILE = {
    "http://hooks.example/": "https",
    "ftp://hooks.example/": "https",
    "file:///etc/passwd": "https",
    "gopher://127.0.0.1:6379/_INFO": "https",
    "//hooks.example/": "https",
    "https:///path": "host",
    "https://": "host",
    "https://hooks.example:0/": "host",
    "https://hooks.example:99999/": "no URL",
    "https://[::1/": "no URL",
    "https://user@hooks.example/": "login",
    "https://user:password@hooks.example/": "login",
    "https://hooks.example/#fragment": "fragment",
    "https://hooks.example/\r\nX-Injected: 1": "characters",
    "https://hooks.example/\x7f": "characters",
    "https://höks.example/": "characters",
    "https://127.0.0.1/": "not public",
    "https://10.0.0.1/": "not public",
    "https://169.254.169.254/latest/meta-data/": "not public",
    "https://[::1]/": "not public",
    "https://[::ffff:10.0.0.1]/": "not public",
    "https://[::ffff:a9fe:a9fe]/": "not public",
    "https://[64:ff9b::127.0.0.1]/": "not public",
    "https://[fd00:ec2::254]/": "not public",
    "https://[fe80::1%25eth0]/": "not public",
}


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_urls_are_refused_in_words(url: str) -> None:
    why = why_not(url, ())
    assert why is not None
    assert HOSTILE[url] in why


@pytest.mark.parametrize(
    "url", ["https://hooks.example/in?a=b", "https://8.8.8.8:8443/", "https://xn--hks-sna.example/"]
)
def test_others_are_taken(url: str) -> None:
    assert why_not(url, ()) is None


def test_where_private_networks_are_allowed_so_is_http() -> None:
    allowed = networks_of("127.0.0.0/8")
    assert why_not("http://127.0.0.1:8080/hooks", allowed) is None
    assert why_not("http://localhost/hooks", allowed) is None
    assert why_not("http://10.0.0.1/hooks", allowed) == "The address is not public."
