"""One message as it goes to a gateway."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from waiting_room.store.notifications import Key
from workers.notify.verdict import Answer


class Attachment(NamedTuple):
    """An iCalendar object (RFC 5545) and its METHOD (RFC 5546)."""

    content: bytes
    method: str


class Letter(NamedTuple):
    """``short`` is for channels that count characters, ``text`` for those that do not. ``idempotency_key`` is the
    same for every attempt, whoever makes it.
    """

    idempotency_key: str
    booking_ref: str
    to: str
    language: str
    subject: str
    short: str
    text: str
    calendar: Attachment | None = None
    unsubscribe: str | None = None
    """The page that ends messages by this channel; it takes POST as well (RFC 8058)."""


class Gateway(Protocol):
    """Hands a letter to whoever carries it on. Never raises; ends within its deadline."""

    async def send(self, letter: Letter) -> Answer: ...

    async def close(self) -> None: ...


def idempotency_key(key: Key) -> str:
    """The clinic is in the ref."""
    return f"{key.booking_ref}:{key.revision}:{key.kind}:{key.channel}"
