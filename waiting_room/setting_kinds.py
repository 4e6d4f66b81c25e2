"""Addresses, files and secrets in the settings: a mistake in one is told when a process starts, not when it is used.

Nothing of an address is repeated: it may hold a password, and one that is not escaped may stand anywhere in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, SecretStr

_PORT = re.compile(r"[0-9]{1,5}")
_PORT_MAX: Final = 65_535
_LEAST, _MOST = 32, 64
"""Bytes of a secret that booking_refs are derived with: blake2b's key has no more."""


def unreadable(path: str) -> str | None:
    """Why a file cannot be read by this process, if it cannot."""
    try:
        with open(path, "rb"):
            return None
    except OSError as error:
        return f"{path}: {error.strerror}"


def files_of(dsn: SecretStr) -> list[str]:
    """Of certificates and keys, as PostgreSQL's addresses name them."""
    asked = parse_qs(urlsplit(dsn.get_secret_value()).query)
    return [asked[name][-1] for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl") if name in asked]


def _postgres(dsn: SecretStr) -> SecretStr:
    _require_ports(_hosts_of(dsn.get_secret_value(), "postgresql", "postgres").split(","))
    return dsn


def _brokers(text: str) -> str:
    brokers = [each.strip() for each in text.split(",")]
    if not all(brokers) or any("/" in each for each in brokers):
        raise ValueError("must be host:port, several of them comma separated")
    _require_ports(each for each in brokers if each.count(":") < 2 or "]" in each)  # others are IPv6 without a port
    return text


def _http(url: str) -> str:
    if url:
        _require_ports([_hosts_of(url, "http", "https")])
    return url


def _each_http(urls: str) -> str:
    for url in urls.split(","):
        _http(url.strip())
    return urls


def _secret_http(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        _http(url.get_secret_value())
    return url


def _smtp(url: SecretStr | None) -> SecretStr | None:
    if url is not None and url.get_secret_value():
        _require_ports([_hosts_of(url.get_secret_value(), "smtp", "smtps")])
    return url


def _ref_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not _LEAST <= len(secret.get_secret_value().encode()) <= _MOST:
        raise ValueError(f"must have {_LEAST} to {_MOST} characters")
    return secret


def _ref_secrets(secrets: SecretStr) -> SecretStr:
    each = filter(None, secrets.get_secret_value().split(","))
    if not all(_LEAST <= len(secret.encode()) <= _MOST for secret in each):
        raise ValueError(f"each must have {_LEAST} to {_MOST} characters")
    return secrets


def _hosts_of(url: str, *schemes: str) -> str:
    """What stands in a URL for host and port. Raises ValueError."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is no address") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return parts.netloc.rpartition("@")[2]


def _require_ports(hosts: Iterable[str]) -> None:
    """Raises ValueError where something else than a port follows a host."""
    for host in hosts:
        port = host.rpartition("]")[2].partition(":")[2].strip()
        if port and not (_PORT.fullmatch(port) and 0 < int(port) <= _PORT_MAX):
            raise ValueError("has no port from 1 to 65535 after its colon (in a password, : @ / are percent-encoded)")


PostgresDsn = Annotated[SecretStr, AfterValidator(_postgres)]
Brokers = Annotated[str, AfterValidator(_brokers)]
HttpUrl = Annotated[str, AfterValidator(_http)]
HttpUrls = Annotated[str, AfterValidator(_each_http)]
SecretHttpUrl = Annotated[SecretStr | None, AfterValidator(_secret_http)]
SmtpUrl = Annotated[SecretStr | None, AfterValidator(_smtp)]
RefSecret = Annotated[SecretStr | None, AfterValidator(_ref_secret)]
RefSecrets = Annotated[SecretStr, AfterValidator(_ref_secrets)]
