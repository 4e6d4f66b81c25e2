"""Passes: signed links by which a patient sees and changes one booking, for a while, unless they are revoked. Pure.

A pass is ``<booking_ref>.<ends>.<generation>.<proof>``: ``ends`` in Unix seconds, the proof 128 bits of an HMAC-SHA256
in lower-case base32. Whoever has it is let in, so it stands behind the ``#`` of a link, where no server sees it, and
travels in a body and a cookie from there. A booking's passes are of a generation; revoking them begins the next one.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

PAGE: Final = "/pass"
_PROOF_BYTES: Final = 16
_PASS = re.compile(
    r"([0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){4})\.([0-9]{10})\.(0|[1-9][0-9]{0,8})\.([a-z2-7]{26})"
)


class NotAPass(ValueError):
    """It opens nothing; the text says why to whoever holds it."""


class Pass(NamedTuple):
    """For a canonical ref."""

    booking_ref: str
    ends_at: datetime
    generation: int


def ends_at(appointment_ends_at: datetime, days_after: int) -> datetime:
    """Of a pass for this appointment; the same whoever makes it and when, so that a message written twice is one."""
    return appointment_ends_at.astimezone(UTC).replace(microsecond=0) + timedelta(days=days_after)


def sign(secret: str, made: Pass) -> str:
    """What its patient is given."""
    said = f"{made.booking_ref}.{int(made.ends_at.timestamp()):010d}.{made.generation}"
    signed = hmac.digest(secret.encode(), f"pass {said}".encode(), sha256)
    return f"{said}.{b32encode(signed[:_PROOF_BYTES]).decode().rstrip('=').lower()}"


def read(secrets: Iterable[str], text: str, now: datetime) -> Pass:
    """What it says, if one of these secrets has signed it and it has not ended. Raises NotAPass.

    Whether it was revoked since, its booking's generation says.
    """
    match = _PASS.fullmatch(text)
    if match is None:
        raise NotAPass("it is not shaped like one")
    found = Pass(match[1], datetime.fromtimestamp(int(match[2]), UTC), int(match[3]))
    if not any(hmac.compare_digest(sign(secret, found), text) for secret in secrets):
        raise NotAPass("its proof does not hold")
    if found.ends_at <= now:
        raise NotAPass("it has ended")
    return found


def link_to(public_url: str, text: str) -> str:
    """The page that takes this pass; what follows the ``#`` stays in the browser."""
    return f"{public_url.rstrip('/')}{PAGE}#{text}"
