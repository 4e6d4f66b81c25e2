"""The link by which a patient ends messages by one channel: signed, so that nobody ends another's. Pure.

A token is ``<booking_ref>.<channel>.<proof>``, the proof 80 bits of an HMAC-SHA256 in lower-case base32. It does not
expire: a message that is found again after years can still be answered by it. It holds nothing of the patient's.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from hashlib import sha256
from typing import Final

from waiting_room.domain.notifications import Channel

PATH: Final = "/v1/unsubscribe"
_TOKEN = re.compile(r"([0-9A-HJKMNP-TV-Z-]{24})\.([a-z]{1,16})\.([a-z2-7]{16})", re.ASCII)


class NotAToken(ValueError):
    """It was not made with this secret."""


def token_of(secret: str, booking_ref: str, channel: str) -> str:
    """For a canonical ref."""
    signed = hmac.digest(secret.encode(), f"unsubscribe {booking_ref} {channel}".encode(), sha256)
    return f"{booking_ref}.{channel}.{b32encode(signed[:10]).decode().lower()}"


def read_token(secret: str, text: str) -> tuple[str, Channel]:
    """(booking_ref, channel). Raises NotAToken."""
    match = _TOKEN.fullmatch(text)
    if match is None or match[2] not in list(Channel):
        raise NotAToken("it is not shaped like one")
    if not hmac.compare_digest(token_of(secret, match[1], match[2]), text):
        raise NotAToken("its proof does not hold")
    return match[1], Channel(match[2])
