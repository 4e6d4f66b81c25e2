"""Calendars that a clinic subscribes a provider to: what is busy there is busy here. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

SOURCE: Final = "busy-feed"
"""Of the busy times that are read so: what is told by API, by file and by the clinic's system stands beside them."""
RARELY_SECONDS: Final = 14_400.0
"""A calendar that cannot be read is asked for so often in the end."""
WHOLE_SECONDS: Final = 86_400.0
"""After so long it is read as a whole, changed or not: what repeats for ever reaches a day further."""
WHOLE_DAYS: Final = 2
"""It is read for so much further ahead than anybody books: until it is read as a whole again, and some hours."""
_JITTER: Final = 0.1
_VALIDATOR_MAX: Final = 512


class Seen(NamedTuple):
    """What tells that a calendar has not changed: its validators (RFC 9110, 8.8), and a digest of what was read."""

    etag: str | None = None
    last_modified: str | None = None
    digest: bytes | None = None


def address_to_read(url: str) -> str:
    """https, where calendar programs write webcal."""
    scheme, colon, rest = url.partition(":")
    return f"https:{rest}" if colon and scheme.lower() == "webcal" else url


def digest_of(calendar: bytes) -> bytes:
    """Of all but when it was written: Google stamps every event anew each time it is asked."""
    lines = (line for line in calendar.splitlines() if not line.startswith(b"DTSTAMP"))
    return sha256(b"\n".join(lines)).digest()


def validator(header: str | None) -> str | None:
    """A header that can be stored and sent back as it came; None for all else."""
    if header is None or len(header) > _VALIDATOR_MAX or not (header.isascii() and header.isprintable()):
        return None
    return header or None


def again_seconds(every_seconds: float, failures: int, chance: float) -> float:
    """Until the next try, after so many failures in a row: twice as long after each, up to RARELY_SECONDS. ``chance``
    in [0, 1) spreads those that were put at the same time.
    """
    longest = max(RARELY_SECONDS, every_seconds)
    seconds = min(every_seconds * 2.0 ** min(max(failures - 1, 0), 20), longest)
    return seconds * (1 - _JITTER + 2 * _JITTER * chance)
