"""/v1/unsubscribe/{token}: a patient ends messages by one channel, from the message itself.

A mail program's button posts here by itself (RFC 8058); a person who opens the link sees a page with a button. Opening
alone changes nothing: scanners of mail open every link.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    '<meta name="color-scheme" content="light dark">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Messages / Nachrichten</title>'
    '<body style="font:1.05rem/1.5 sans-serif;max-width:36em;margin:2em auto;padding:0 1em">'
    '<main><p>{en}</p><p lang="de">{de}</p>{form}</main></body></html>'
)
_FORM: Final = (
    '<form method="post"><button name="{name}" value="1" style="font:inherit;padding:.6em 1em">'
    '{en} / <span lang="de">{de}</span></button></form>'
)
_STOP: Final = _FORM.format(name="stop", en="No more messages", de="Keine Nachrichten mehr")
_AGAIN: Final = _FORM.format(name="again", en="Messages again", de="Wieder Nachrichten")
_BY: Final[Mapping[Channel, tuple[str, str]]] = {
    Channel.EMAIL: ("by email", "per E-Mail"),
    Channel.SMS: ("by SMS", "per SMS"),
    Channel.PUSH: ("by push message", "per Push-Nachricht"),
}
"""In English and German."""
_GONE: Final = (
    "This link is not whole, or not valid any more. Open the link of a newer message, or ask in the app you have "
    "booked with.",
    "Dieser Link ist nicht vollständig oder nicht mehr gültig. Öffnen Sie den Link einer neueren Nachricht, oder "
    "fragen Sie in der App nach, in der Sie gebucht haben.",
)
_AWAY: Final = (
    "This cannot be changed right now. Try again in a few minutes.",
    "Das lässt sich gerade nicht ändern. Versuchen Sie es in ein paar Minuten noch einmal.",
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
}


async def ask(parts: Parts, request: Request) -> Response:
    try:
        _, channel = _token(parts, request)
    except Refused as refused:
        return _in_words(request, refused)
    by, per = _BY[channel]
    return _page(f"Do you want no more messages {by}?", f"Möchten Sie keine Nachrichten {per} mehr?", _STOP)


async def change(parts: Parts, request: Request) -> Response:
    try:
        return await _change(parts, request)
    except Refused as refused:
        return _in_words(request, refused)


async def _change(parts: Parts, request: Request) -> Response:
    booking_ref, channel = _token(parts, request)
    by, per = _BY[channel]
    again = b"again=" in await _body(request)
    store = unsubscribed.remove if again else unsubscribed.add
    if not await parts.writes.run(lambda connection: store(connection, booking_ref, channel)):
        raise _unknown()
    if again:
        return _page(f"You get messages {by} again.", f"Sie bekommen wieder Nachrichten {per}.", _STOP)
    return _page(
        f"You get no more messages {by}. Your bookings stay as they are.",
        f"Sie bekommen keine Nachrichten {per} mehr. Ihre Buchungen bleiben, wie sie sind.",
        _AGAIN,
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


def _in_words(request: Request, refused: Refused) -> Response:
    """A refusal as a page, where a browser asked: whoever reads that is a patient. Raises it for a program."""
    if "text/html" not in request.headers.get("accept", ""):
        raise refused
    en, de = _GONE if refused.kind is problems.NOT_FOUND else _AWAY
    answer = _page(en, de, "")
    answer.status_code = refused.kind.status
    answer.headers.update(refused.headers)
    return answer


def _page(en: str, de: str, form: str) -> Response:
    return HTMLResponse(_PAGE.format(en=en, de=de, form=form), headers=_HEADERS)


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
