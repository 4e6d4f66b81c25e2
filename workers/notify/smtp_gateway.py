"""Email over SMTP, by connections that are kept and shared.

SMTP knows no idempotency: where the answer to DATA is lost, the relay may have taken the message, and sending it again
may show it twice. The Message-ID is the same then, by which many mail programs show one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from hashlib import sha256
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPTimeoutError

from waiting_room.domain.notifications import AN_EMAIL
from workers.notify.letter import Letter
from workers.notify.verdict import SENT, Answer

CONNECTIONS_MAX: Final = 32
_PORTS: Final = {"smtp": 587, "smtps": 465}
_NO_MORE: Final = {"en": "No more emails", "de": "Keine E-Mails mehr"}


class SmtpGateway:
    """``url``: smtp://USER:PASSWORD@HOST:PORT or smtps://; ``sender``: an address, or NAME <ADDRESS>."""

    def __init__(self, url: str, sender: str, *, timeout_seconds: float) -> None:
        self._url = urlsplit(url)
        self._sender = sender
        self._domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
        self._timeout_seconds = timeout_seconds
        self._idle: list[SMTP] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def send(self, letter: Letter) -> Answer:
        if not AN_EMAIL.fullmatch(letter.to):
            return Answer(False, "no email address", final=True)
        message = self._message(letter)
        try:
            async with asyncio.timeout(self._timeout_seconds), self._room:
                return await self._deliver(message, letter.to)
        except (TimeoutError, SMTPTimeoutError):
            return Answer(False, "timeout")
        except SMTPResponseException as error:
            return Answer(False, f"smtp {error.code}", final=error.code >= 500)
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = max((each.code for each in error.recipients), default=0)
            return Answer(False, f"smtp {code}", final=code >= 500)
        except (SMTPException, OSError) as error:
            return Answer(False, type(error).__name__)

    async def _deliver(self, message: EmailMessage, to: str) -> Answer:
        """One connection carries one message at a time; one that has failed is not used again."""
        connection = self._idle.pop() if self._idle else None
        if connection is None or not connection.is_connected:
            connection = await self._connect()
        try:
            await connection.send_message(message, sender=parseaddr(self._sender)[1], recipients=[to])
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return SENT

    async def _connect(self) -> SMTP:
        url = self._url
        connection = SMTP(
            hostname=url.hostname,
            port=url.port or _PORTS[url.scheme],
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=url.scheme == "smtps",
            timeout=self._timeout_seconds,
        )
        try:
            await connection.connect()
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        return connection

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{sha256(letter.idempotency_key.encode()).hexdigest()[:40]}@{self._domain}>"
        message["X-Idempotency-Key"] = letter.idempotency_key
        message["Content-Language"] = letter.language
        message["Auto-Submitted"] = "auto-generated"
        text = letter.text
        if letter.unsubscribe is not None:
            message["List-Unsubscribe"] = f"<{letter.unsubscribe}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            text += f"\n-- \n{_NO_MORE[letter.language]}: {letter.unsubscribe}\n"
        message.set_content(text)
        if letter.calendar is not None:
            message.add_attachment(
                letter.calendar.content,
                maintype="text",
                subtype="calendar",
                filename="appointment.ics",
                params={"method": letter.calendar.method, "charset": "utf-8"},
            )
        return message
