"""/v1/unsubscribe/{token}: a patient ends messages by one channel, from the message itself.

A mail program's button posts here by itself (RFC 8058); a person who opens the link sees a page with a button. Opening
alone changes nothing: scanners of mail open every link.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ingress import problems
from ingress.operation import STRING, Answer, Operation, Parameter, answering
from ingress.parts import Parts
from ingress.refusal import Refused
from waiting_room.domain.notifications import Channel
from waiting_room.store import unsubscribed
from waiting_room.unsubscribe import PATH, NotAToken, read_token

_BODY_MAX: Final = 256
_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="robots" content="noindex">'
    '<meta name="viewport" content="width=device-width"><title>Messages</title>'
    '<body style="font-family:sans-serif;max-width:36em;margin:4em auto;padding:0 1em"><p>{en}</p><p lang="de">{de}</p>'
    '<form method="post"><button name="{name}" value="1">{button}</button></form></body></html>'
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
}


async def ask(parts: Parts, request: Request) -> Response:
    _, channel = _token(parts, request)
    return _page(
        f"Do you want no more messages by {channel}?",
        f"Möchten Sie keine Nachrichten per {channel} mehr?",
        "stop",
        "No more messages / Keine Nachrichten mehr",
    )


async def change(parts: Parts, request: Request) -> Response:
    booking_ref, channel = _token(parts, request)
    again = b"again=" in await _body(request)
    store = unsubscribed.remove if again else unsubscribed.add
    if not await parts.writes.run(lambda connection: store(connection, booking_ref, channel)):
        raise _unknown()
    if again:
        return _page(
            f"You get messages by {channel} again.",
            f"Sie bekommen wieder Nachrichten per {channel}.",
            "stop",
            "No more messages / Keine Nachrichten mehr",
        )
    return _page(
        f"You get no more messages by {channel}. Your bookings stay as they are.",
        f"Sie bekommen keine Nachrichten per {channel} mehr. Ihre Buchungen bleiben, wie sie sind.",
        "again",
        "Messages again / Wieder Nachrichten",
    )


def _token(parts: Parts, request: Request) -> tuple[str, Channel]:
    """Raises Refused (404)."""
    for secret in parts.settings.link_secrets:
        with suppress(NotAToken):
            return read_token(secret, request.path_params["token"])
    raise _unknown()


async def _body(request: Request) -> bytes:
    """Its beginning: more than a form's one field is of no interest."""
    body = b""
    async for chunk in request.stream():
        body = (body + chunk)[:_BODY_MAX]
    return body


def _unknown() -> Refused:
    more = {"next_step": "Open the link of a newer message, or ask in the app you have booked with."}
    return Refused(problems.NOT_FOUND, "There is nothing to unsubscribe from under this link.", more=more)


def _page(en: str, de: str, name: str, button: str) -> Response:
    return HTMLResponse(_PAGE.format(en=en, de=de, name=name, button=button), headers=_HEADERS)


_TOKEN: Final = Parameter(
    name="token", where="path", schema=STRING, description="As it stands in the message's link.", required=True
)
ASK_UNSUBSCRIBE: Final = Operation(
    name="askUnsubscribe",
    method="GET",
    path=PATH + "/{token}",
    summary="A page that asks a patient whether to end messages",
    endpoint=answering(ask),
    parameters=(_TOKEN,),
    answers=(Answer(status=200, description="A page with a button.", media_type="text/html"),),
    problems=(problems.NOT_FOUND,),
    secured=False,
)
UNSUBSCRIBE: Final = Operation(
    name="unsubscribe",
    method="POST",
    path=PATH + "/{token}",
    summary="End a patient's messages by one channel, or begin them again",
    endpoint=answering(change),
    parameters=(_TOKEN,),
    answers=(Answer(status=200, description="Done.", media_type="text/html"),),
    problems=(problems.NOT_FOUND, problems.NOT_CHANGED),
    secured=False,
)
