"""SMS and push: a JSON body posted to an HTTP gateway, with an idempotency key it may be trusted to honour.

    POST {url}    Idempotency-Key: REF:REVISION:KIND:CHANNEL
    {"to", "text", "language", "booking_ref"}            and "title" for push

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from waiting_room.domain.notifications import Channel
from workers.notify.letter import Letter
from workers.notify.verdict import SENT, Answer

_PASSING: Final = frozenset({408, 409, 423, 425, 429})
"""Refusals that are about the moment (409 and 425: the same key is being worked on), not about the message."""


class HttpGateway:
    def __init__(
        self, channel: Channel, url: str, *, token: str | None, timeout_seconds: float, in_flight: int
    ) -> None:
        self._channel = channel
        self._url = url
        self._session = ClientSession(
            connector=TCPConnector(limit=in_flight),
            timeout=ClientTimeout(total=timeout_seconds),
            cookie_jar=DummyCookieJar(),
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(self, letter: Letter) -> Answer:
        body = {
            "to": letter.to,
            "text": letter.short,
            "language": letter.language,
            "booking_ref": letter.booking_ref,
        }
        if self._channel is Channel.PUSH:
            body["title"] = letter.subject
        try:
            async with self._session.post(
                self._url, json=body, headers={"Idempotency-Key": letter.idempotency_key}, allow_redirects=False
            ) as response:
                await response.read()
                return _answer(response.status, response.headers.get("Retry-After"))
        except TimeoutError:
            return Answer(False, "timeout")
        except (ClientError, OSError) as error:
            return Answer(False, type(error).__name__)


def _answer(status: int, retry_after: str | None) -> Answer:
    if 200 <= status < 300:
        return SENT
    final = 400 <= status < 500 and status not in _PASSING
    seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    return Answer(False, f"http {status}", final=final, retry_after_seconds=seconds)
