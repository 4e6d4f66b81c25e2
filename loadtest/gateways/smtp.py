"""An SMTP relay that delivers to a ledger. It cannot know whether it is asked for the same message again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from loadtest.gateways.ledger import Ledger, Sent

CHANNEL = "email"


class Sink:
    """What `aiosmtpd` calls for each message."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        tally = self._ledger.tallies[CHANNEL]
        tally.asked += 1
        fate = self._ledger.fate(CHANNEL)
        await asyncio.sleep(self._ledger.mood(CHANNEL).delay)
        if fate == "failed":
            tally.failed += 1
            return "451 4.3.0 Try again later"
        if fate == "refused":
            tally.refused += 1
            return f"550 5.1.1 <{envelope.rcpt_tos[0]}> unknown"
        self._ledger.keep(_sent(envelope.original_content or b"", envelope.rcpt_tos[0]))
        if fate == "lost":
            tally.lost += 1
            cast(asyncio.Transport, server.transport).abort()
        return "250 2.0.0 Taken"


@asynccontextmanager
async def listening(ledger: Ledger, port: int, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve while the block runs; yields the port (0 takes a free one)."""
    loop = asyncio.get_running_loop()
    sink = Sink(ledger)
    server = await loop.create_server(
        lambda: SMTP(sink, hostname="relay.invalid", loop=loop, enable_SMTPUTF8=True), host, port, backlog=1_024
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def _sent(raw: bytes, to: str) -> Sent:
    message = message_from_bytes(raw, policy=policy.default)
    body: Any = message.get_body(("plain",))
    calendars = [part.get_content() for part in message.iter_attachments() if part.get_content_subtype() == "calendar"]
    return Sent(
        channel=CHANNEL,
        key=str(message["X-Idempotency-Key"]),
        to=to,
        language=_header(message["Content-Language"]),
        subject=_header(message["Subject"]),
        text=body.get_content() if body is not None else "",
        at=datetime.now(UTC),
        calendar=_text(calendars[0]) if calendars else None,
    )


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


def _header(value: Any) -> str | None:
    """As plain text: the parser's own types are not to be had as JSON."""
    return None if value is None else str(value)
