"""Whether a URL may be a webhook endpoint's: pure. What a name resolves to is checked when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from waiting_room.domain.addresses import Network, address_of, may_reach


def why_not(url: str, allowed: Sequence[Network]) -> str | None:
    """Why it may not, in one sentence. Where private networks are ``allowed``, for development, http is too."""
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        return "The URL has characters that no URL has."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "That is no URL."
    if parts.scheme != "https" and not (parts.scheme == "http" and allowed):
        return "The URL does not begin with https://."
    if not host or port == 0:
        return "The URL names no host."
    if parts.username is not None or parts.password is not None:
        return "The URL has a login in it."
    if parts.fragment:
        return "The URL has a fragment."
    try:
        address = address_of(host)
    except ValueError:  # a name
        return None
    return None if may_reach(address, allowed) else "The address is not public."
